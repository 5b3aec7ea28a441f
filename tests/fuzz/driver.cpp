// Replaces libFuzzer's main function where there is no clang: it runs the target on the given files, and then on random
// mutations of them. It does not measure coverage. It is deterministic: with the same corpus, seed and number of runs
// it tries the same inputs.
//
//   TARGET [--runs N] [--seconds S] [--seed N] [--last FILE] FOLDER|FILE..
//
// Before each run the input is written to --last FILE (default: last-input), so that after a crash this file holds the
// input that caused it.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<uint8_t>;
using Random = std::mt19937_64;  // gives the same numbers everywhere, unlike the standard library's distributions

size_t below(Random& random, size_t n) { return static_cast<size_t>(random() % n); }

[[noreturn]] void usage(const std::string& what) {
    constexpr const char* kUsage = "TARGET [--runs N] [--seconds S] [--seed N] [--last FILE] FOLDER|FILE..";
    std::fprintf(stderr, "%s\nusage: %s\n", what.c_str(), kUsage);
    std::exit(2);
}

Bytes read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) usage("cannot read " + path.string());
    return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<fs::path> files_of(const fs::path& path) {
    if (!fs::is_directory(path)) return {path};
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(path))
        if (entry.is_regular_file()) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    return files;
}

void mutate(Bytes& bytes, const std::vector<Bytes>& corpus, Random& random) {
    const size_t kind = below(random, 6);
    if (kind == 5 || bytes.empty()) {  // splice
        const Bytes& other = corpus[below(random, corpus.size())];
        bytes.resize(below(random, bytes.size() + 1));
        bytes.insert(bytes.end(), other.begin() + static_cast<ptrdiff_t>(below(random, other.size() + 1)), other.end());
        return;
    }
    const size_t at = below(random, bytes.size());
    const auto here = bytes.begin() + static_cast<ptrdiff_t>(at);
    constexpr uint8_t kTelling[] = {0, 1, 0x7F, 0x80, 0xFF};
    switch (kind) {
        case 0: bytes[at] ^= static_cast<uint8_t>(1u << below(random, 8)); break;
        case 1: bytes[at] = static_cast<uint8_t>(random()); break;
        case 2: bytes[at] = kTelling[below(random, std::size(kTelling))]; break;
        case 3: bytes.insert(here, static_cast<uint8_t>(random())); break;
        case 4: bytes.erase(below(random, 2) ? here + 1 : bytes.end() - 1, bytes.end()); break;
    }
}

class Runner {
public:
    explicit Runner(const std::string& last)
        : last_(last), file_(open(last.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0644)) {
        if (file_ < 0) usage("cannot write " + last);
    }
    void operator()(const Bytes& bytes) {
        if (ftruncate(file_, 0) != 0 || pwrite(file_, bytes.data(), bytes.size(), 0) < 0)
            usage("cannot write " + last_);
        LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    }
    void finished() {
        close(file_);
        fs::remove(last_);
    }

private:
    std::string last_;
    int file_;
};

}  // namespace

int main(int argc, char** argv) {
    uint64_t max_runs = 0, seed = 1;
    double max_seconds = 0;
    std::string last = "last-input";
    std::vector<Bytes> corpus;
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i];
        if (argument.rfind("--", 0) != 0) {
            for (const fs::path& path : files_of(argument)) corpus.push_back(read(path));
            continue;
        }
        if (++i == argc) usage(argument + " needs a value");
        if (argument == "--runs") max_runs = std::strtoull(argv[i], nullptr, 10);
        else if (argument == "--seconds") max_seconds = std::strtod(argv[i], nullptr);
        else if (argument == "--seed") seed = std::strtoull(argv[i], nullptr, 10);
        else if (argument == "--last") last = argv[i];
        else usage("unknown option " + argument);
    }
    if (corpus.empty()) usage("no corpus");

    Runner run(last);
    for (const Bytes& bytes : corpus) run(bytes);
    std::printf("%zu corpus inputs\n", corpus.size());
    std::fflush(stdout);

    Random random(seed);
    uint64_t runs = 0;
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
    for (; runs < max_runs || seconds() < max_seconds; ++runs) {
        Bytes bytes = corpus[below(random, corpus.size())];
        for (size_t n = 1 + below(random, 4); n > 0; --n) mutate(bytes, corpus, random);
        run(bytes);
    }
    run.finished();
    std::printf("%llu mutated inputs, seed %llu, %.1f s\n", static_cast<unsigned long long>(runs),
                static_cast<unsigned long long>(seed), seconds());
}
