// aec-dec: decodes .aec files without Python. It uses nothing of the library but aec.h.
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "capi/aec.h"
#include "tools/picture_files.h"

namespace aec::tools {
namespace {

const char kUsage[] =
    "usage: aec-dec [options] IN.aec OUT.{png,ppm,pgm,pam,npy}\n"
    "       aec-dec --info IN.aec\n"
    "\n"
    "Decodes an .aec file. IN and OUT may be -, for standard input and output.\n"
    "\n"
    "  --info             print what the file's header says, and decode nothing\n"
    "  --model PATH       the model file; without it, it is looked for in the folders of\n"
    "                     $AEC_MODELS, and in the folder where aec-dec is installed\n"
    "  --scale S          1, 1/2, 1/4 or 1/8: a smaller picture, in less time\n"
    "  --crop X,Y,W,H     only this part, in pixels of the whole picture\n"
    "  --depth N          8 or 16 bits a sample, whatever the file has\n"
    "  --partial          also what there is of a file that ends early or is damaged\n"
    "  --max-pixels N     refuse larger pictures (default: 268435456)\n"
    "  --threads N        the most threads to use (default: one for each processor)\n"
    "  --format F         png, ppm, pam or npy; without it, by the name of OUT\n"
    "  -f, --force        replace OUT if it exists\n"
    "  --version          print the version\n";

struct UsageError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Arguments {
    std::string in, out, model, format;
    bool info = false, partial = false, force = false;
    uint64_t max_pixels = 0;
    aec_decode_options decode;
};

struct FileCloser {
    void operator()(aec_file* file) const { aec_close(file); }
    void operator()(aec_model* model) const { aec_model_close(model); }
    void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<aec_file, FileCloser>;
using Model = std::unique_ptr<aec_model, FileCloser>;

void check(aec_status status, const aec_error& error) {
    if (status != AEC_OK) throw std::runtime_error(error.message);
}

// A number within a range; `text` may end with `end`, and is moved behind it.
uint64_t number(const char*& text, const char* option, uint64_t low, uint64_t high, char end = 0) {
    char* rest = nullptr;
    errno = 0;
    const bool is_digit = *text >= '0' && *text <= '9';
    const unsigned long long value = is_digit ? std::strtoull(text, &rest, 10) : 0;
    if (!is_digit || errno != 0 || *rest != end || value < low || value > high)
        throw UsageError(std::string(option) + " " + text + ": a number from " + std::to_string(low) + " to " +
                         std::to_string(high) + (end ? std::string(" and then '") + end + "'" : std::string()) +
                         " is expected");
    text = rest + (end != 0);
    return value;
}

uint32_t shrink_of(const char* text) {
    for (const auto& [name, shrink] :
         {std::pair("1", 1), {"1/2", 2}, {"1/4", 4}, {"1/8", 8}, {"0.5", 2}, {"0.25", 4}, {"0.125", 8}})
        if (std::strcmp(text, name) == 0) return static_cast<uint32_t>(shrink);
    throw UsageError(std::string("--scale ") + text + ": allowed are 1, 1/2, 1/4 and 1/8");
}

void set_crop(aec_decode_options& options, const char* text) {
    options.x = static_cast<uint32_t>(number(text, "--crop", 0, 65534, ','));
    options.y = static_cast<uint32_t>(number(text, "--crop", 0, 65534, ','));
    options.width = static_cast<uint32_t>(number(text, "--crop", 1, 65535, ','));
    options.height = static_cast<uint32_t>(number(text, "--crop", 1, 65535));
}

Arguments parsed(int argc, char** argv) {
    Arguments args;
    aec_decode_options_init(&args.decode, sizeof args.decode);
    std::vector<std::string> names;
    bool options_end = false;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        const auto value = [&] {
            if (i + 1 == argc) throw UsageError(word + " needs a value");
            return static_cast<const char*>(argv[++i]);
        };
        if (options_end || word == "-" || word[0] != '-') {
            names.push_back(word);
        } else if (word == "--") {
            options_end = true;
        } else if (word == "--info") {
            args.info = true;
        } else if (word == "--partial") {
            args.partial = true;
        } else if (word == "-f" || word == "--force") {
            args.force = true;
        } else if (word == "--model") {
            args.model = value();
        } else if (word == "--format") {
            const std::string given = value();
            args.format = format_of("." + given);
            if (args.format.empty()) throw UsageError("--format " + given + ": allowed are png, ppm, pam and npy");
        } else if (word == "--scale") {
            args.decode.shrink = shrink_of(value());
        } else if (word == "--crop") {
            set_crop(args.decode, value());
        } else if (word == "--depth") {
            const std::string given = value();
            if (given != "8" && given != "16") throw UsageError("--depth " + given + ": allowed are 8 and 16");
            args.decode.depth = given == "8" ? 8 : 16;
        } else if (word == "--threads") {
            const char* text = value();
            args.decode.threads = static_cast<uint32_t>(number(text, "--threads", 1, 256));
        } else if (word == "--max-pixels") {
            const char* text = value();
            args.max_pixels = number(text, "--max-pixels", 1, uint64_t{65535} * 65535);
        } else {
            throw UsageError("option " + word + ", which is unknown");
        }
    }
    const size_t wanted = args.info ? 1 : 2;
    if (names.size() != wanted)
        throw UsageError(std::to_string(names.size()) + " names of files: " + (args.info ? "IN" : "IN and OUT") +
                         (args.info ? " is expected" : " are expected"));
    args.in = names[0];
    if (args.info) return args;
    args.out = names[1];
    if (args.format.empty()) args.format = format_of(args.out);
    if (args.format.empty())
        throw UsageError(args.out + ": its name must end in .png, .ppm, .pgm, .pam or .npy, or --format be given");
    return args;
}

// ----------------------------------------------------------------------------------------------------- files and pipes

Bytes standard_input() {
    Bytes data;
    uint8_t piece[1 << 16];
    while (const size_t n = std::fread(piece, 1, sizeof piece, stdin)) data.insert(data.end(), piece, piece + n);
    if (std::ferror(stdin)) throw std::runtime_error("standard input cannot be read");
    return data;
}

void write_all(std::FILE* file, const Bytes& data, const std::string& name) {
    if (std::fwrite(data.data(), 1, data.size(), file) != data.size() || std::fflush(file) != 0)
        throw std::runtime_error(name + ": " + std::strerror(errno));
}

// Opens a file beside `name`, under a name that no file has.
std::FILE* open_beside(const std::string& name, std::string& chosen) {
    constexpr int kMostTries = 100;
    std::FILE* file = nullptr;
    for (int i = 0; file == nullptr && i < kMostTries; ++i) {
        chosen = name + ".part" + (i > 0 ? std::to_string(i) : "");
        file = std::fopen(chosen.c_str(), "wbx");
        if (file == nullptr && errno != EEXIST) break;
    }
    return file;
}

// An existing file is replaced as a whole; nothing is left half-written.
void write_file(const std::string& name, const Bytes& data, bool force) {
    if (name == "-") return write_all(stdout, data, "standard output");
    if (!force)
        if (const std::unique_ptr<std::FILE, FileCloser> there{std::fopen(name.c_str(), "rb")})
            throw std::runtime_error(name + " exists: -f replaces it");
    std::string unfinished;
    std::unique_ptr<std::FILE, FileCloser> file(open_beside(name, unfinished));
    if (!file) throw std::runtime_error(name + ": " + std::strerror(errno));
    try {
        write_all(file.get(), data, name);
        if (std::fclose(file.release()) != 0 || std::rename(unfinished.c_str(), name.c_str()) != 0)
            throw std::runtime_error(name + ": " + std::strerror(errno));
    } catch (...) {
        std::remove(unfinished.c_str());
        throw;
    }
}

// ----------------------------------------------------------------------------------------------------------- the work

void print_info(const aec_info& info, uint64_t bytes) {
    const char* channels = info.gray ? (info.alpha ? "gray and alpha" : "gray") : info.alpha ? "RGB and alpha" : "RGB";
    std::printf("size: %ux%u\nchannels: %s\ndepth: %u\n", info.width, info.height, channels, info.depth);
    if (info.stored)
        std::printf("coded: stored\n");
    else if (info.exact)
        std::printf("coded: exact, largest error %u\n", info.quality);
    else
        std::printf("coded: quality %u%s\nmodel: %02x%02x%02x%02x\n", info.quality,
                    info.mapped ? ", and a map of qualities" : "", info.model_id[0], info.model_id[1], info.model_id[2],
                    info.model_id[3]);
    if (!info.stored) std::printf("tiles: %u of side %u\nparts: %u\n", info.tiles, info.tile, info.parts);
    std::printf("bytes: %llu\n", static_cast<unsigned long long>(bytes));
}

Model model_for(const aec_info& info, const std::string& path, uint32_t threads) {
    aec_model* model = nullptr;
    aec_error error;
    if (!info.needs_model) return nullptr;
    if (path.empty())
        check(aec_model_find(info.model_id, nullptr, threads, &model, &error), error);
    else
        check(aec_model_open_path(path.c_str(), threads, &model, &error), error);
    return Model(model);
}

Bytes metadata_of(const aec_file* file, aec_metadata_kind kind) {
    const uint8_t* data = nullptr;
    size_t size = 0;
    aec_error error;
    check(aec_get_metadata(file, kind, &data, &size, &error), error);
    return {data, data + size};
}

void run(const Arguments& args) {
    aec_open_options options;
    aec_open_options_init(&options, sizeof options);
    options.allow_partial = args.partial;
    if (args.max_pixels > 0) options.max_pixels = args.max_pixels;
    Bytes input;
    aec_file* opened = nullptr;
    aec_error error;
    if (args.in == "-") {
        input = standard_input();
        check(aec_open_memory(input.data(), input.size(), &options, &opened, &error), error);
    } else {
        check(aec_open_path(args.in.c_str(), &options, &opened, &error), error);
    }
    const File file(opened);
    aec_info info;
    aec_info_init(&info, sizeof info);
    check(aec_get_info(file.get(), &info, &error), error);
    if (args.info) {
        uint64_t bytes = 0;
        check(aec_get_stage(file.get(), info.parts - 1, &bytes, &error), error);
        return print_info(info, bytes);
    }
    const Model model = model_for(info, args.model, args.decode.threads);
    aec_pixels pixels;
    aec_pixels_init(&pixels, sizeof pixels);
    check(aec_get_pixels(file.get(), &args.decode, &pixels, &error), error);
    Picture picture = {
        pixels.width, pixels.height, pixels.channels, pixels.depth, Bytes(pixels.bytes), {}, {}, {}, {}, {}};
    check(aec_decode_picture(file.get(), model.get(), &args.decode, picture.samples.data(), pixels.row_bytes,
                             pixels.bytes, &error),
          error);
    picture.icc = metadata_of(file.get(), AEC_METADATA_ICC);
    picture.exif = metadata_of(file.get(), AEC_METADATA_EXIF);
    picture.xmp = metadata_of(file.get(), AEC_METADATA_XMP);
    picture.cicp = metadata_of(file.get(), AEC_METADATA_CICP);
    picture.significant_bits = metadata_of(file.get(), AEC_METADATA_SIGNIFICANT_BITS);
    write_file(args.out, encoded(args.format, picture), args.force);
    if (const uint64_t missing = aec_missing_count(file.get()))
        std::fprintf(stderr, "aec-dec: %s: %llu parts of the picture are missing or only coarse\n", args.in.c_str(),
                     static_cast<unsigned long long>(missing));
}

}  // namespace
}  // namespace aec::tools

int main(int argc, char** argv) {
    using namespace aec::tools;
    for (int i = 1; i < argc && std::strcmp(argv[i], "--") != 0; ++i) {
        if (std::strcmp(argv[i], "--help") == 0 || std::strcmp(argv[i], "-h") == 0)
            return std::fputs(kUsage, stdout), 0;
        if (std::strcmp(argv[i], "--version") == 0) return std::printf("aec-dec %s\n", aec_version()), 0;
    }
    Arguments args;
    try {
        args = parsed(argc, argv);
        run(args);
        return std::fflush(stdout) == 0 ? 0 : 1;
    } catch (const UsageError& error) {
        std::fprintf(stderr, "aec-dec: %s\n%s", error.what(), kUsage);
        return 2;
    } catch (const std::bad_alloc&) {
        std::fprintf(stderr, "aec-dec: %s: there is not enough memory\n", args.in.c_str());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "aec-dec: %s: %s\n", args.in.c_str(), error.what());
    }
    return 1;
}
