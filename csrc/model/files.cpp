#include "model/files.h"

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>

namespace aec {
namespace {

#ifdef _WIN32
constexpr char kSeparator = ';';
#else
constexpr char kSeparator = ':';
#endif

struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Closer>;

[[noreturn]] void fail(const std::string& path) {
    throw Error(ErrorKind::kIo, path + ": " + std::generic_category().message(errno));
}

File open_file(const std::string& path) {
    File file(std::fopen(path.c_str(), "rb"));
    if (!file) fail(path);
    return file;
}

// The size of a file if it has one that is known: a pipe has none.
size_t size_hint(std::FILE* file) {
    const long size = std::fseek(file, 0, SEEK_END) == 0 ? std::ftell(file) : 0;
    std::rewind(file);
    return size > 0 && size < LONG_MAX ? static_cast<size_t>(size) : 0;  // a folder's is LONG_MAX
}

// The next bytes of a file, at most so many.
Vector<uint8_t> read_some(std::FILE* file, const std::string& path, uint64_t most, size_t hint = 0) {
    constexpr uint64_t kPiece = 1 << 20;
    Vector<uint8_t> data;
    if (hint > 0) data.reserve(hint + kPiece);  // a piece more, because only reading on tells that the file has ended
    while (data.size() < most) {
        const size_t at = data.size();
        const auto wanted = static_cast<size_t>(std::min(most - at, kPiece));
        data.resize(at + wanted);
        const size_t n = std::fread(data.data() + at, 1, wanted, file);
        data.resize(at + n);
        if (n < wanted && std::ferror(file)) fail(path);
        if (n < wanted) break;
    }
    return data;
}

// Whether a file is a model with this id, by its header.
bool has_id(const std::string& path, const ModelId& id) try {
    const File file = open_file(path);
    Vector<uint8_t> head = read_some(file.get(), path, kSafetensorsLengthBytes);
    const uint64_t bytes = safetensors_head_bytes({head.data(), head.size()});
    const Vector<uint8_t> rest = read_some(file.get(), path, bytes - head.size());
    head.insert(head.end(), rest.begin(), rest.end());
    ModelId found;
    return Model::id_in(safetensors_metadata({head.data(), head.size()}), found) && found == id;
} catch (const std::invalid_argument&) {
    return false;
} catch (const Error&) {
    return false;
}

}  // namespace

Vector<uint8_t> read_file(const std::string& path) {
    const File file = open_file(path);
    return read_some(file.get(), path, UINT64_MAX, size_hint(file.get()));
}

std::shared_ptr<const Model> load_model(const std::string& path, int threads) try {
    const Vector<uint8_t> data = read_file(path);
    return Model::load({data.data(), data.size()}, threads);
} catch (const Error& error) {
    if (error.kind == ErrorKind::kIo) throw;
    throw Error(error.kind, path + ": " + error.what());
}

std::shared_ptr<const Model> find_model(const ModelId& id, const std::string& folders, int threads) {
    std::optional<Error> damaged;  // the first file that names this id and cannot be loaded
    for (size_t at = 0; at <= folders.size();) {
        const size_t end = std::min(folders.find(kSeparator, at), folders.size());
        const std::string folder = folders.substr(at, end - at);
        at = end + 1;
        Vector<std::string> paths;
        std::error_code error;
        if (!folder.empty())
            for (std::filesystem::directory_iterator entry(folder, error), last; !error && entry != last;
                 entry.increment(error))
                if (entry->path().extension() == ".safetensors") paths.push_back(entry->path().string());
        std::sort(paths.begin(), paths.end());
        for (const std::string& path : paths) {
            if (!has_id(path, id)) continue;
            try {
                return load_model(path, threads);
            } catch (const Error& e) {  // another folder may have a whole one
                if (!damaged) damaged.emplace(e);
            }
        }
    }
    if (damaged) throw *damaged;
    throw Error(ErrorKind::kModel,
                "the file needs model " + text_of(id) + ", which is not at hand: looked in " + folders);
}

}  // namespace aec
