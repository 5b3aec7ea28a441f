#include "model/safetensors.h"

#include <stdexcept>
#include <utility>

#include "model/json.h"

namespace aec {
namespace {

constexpr size_t kLengthBytes = kSafetensorsLengthBytes;
constexpr uint64_t kMostHeader = 1 << 26;  // those of our models have about 2^17 bytes
constexpr std::pair<const char*, DType> kTypes[] = {
    {"I8", DType::kInt8},   {"U8", DType::kUint8},  {"I16", DType::kInt16},   {"U16", DType::kUint16},
    {"I32", DType::kInt32}, {"I64", DType::kInt64}, {"F16", DType::kFloat16}, {"F32", DType::kFloat32}};

DType type_of(const std::string& name, const std::string& tensor) {
    for (const auto& [known, type] : kTypes)
        if (name == known) return type;
    throw std::invalid_argument(tensor + " holds " + name + ": allowed are I8, U8, I16, U16, I32, I64, F16, F32");
}

// Where the data of a tensor lie, behind the header.
struct Range {
    uint64_t begin, end;
};

StoredTensor read_tensor(JsonReader& json, const std::string& name, Range& range) {
    StoredTensor tensor = {};
    std::string type;
    std::vector<uint64_t> offsets;
    bool shaped = false;
    json.object([&](const std::string& key) {
        if (key == "dtype")
            type = json.string();
        else if (key == "shape")
            shaped = true, json.array([&] { tensor.shape.push_back(static_cast<int64_t>(json.integer())); });
        else if (key == "data_offsets")
            json.array([&] { offsets.push_back(json.integer()); });
        else
            throw std::invalid_argument(name + " has a field " + key + ", which is unknown");
    });
    if (!shaped || offsets.size() != 2) throw std::invalid_argument(name + " lacks its shape or its two offsets");
    tensor.type = type_of(type, name);
    range = {offsets[0], offsets[1]};
    return tensor;
}

// Parses the header in `head`, and calls use(name, tensor without its bytes, range) for each tensor.
template <class Use>
void read_header(Span head, std::map<std::string, std::string>& metadata, Use use) {
    JsonReader json(head.part(kLengthBytes, head.size));
    json.object([&](const std::string& name) {
        if (name == "__metadata__") {
            json.object([&](const std::string& key) { metadata[key] = json.string(); });
            return;
        }
        Range range = {};
        StoredTensor tensor = read_tensor(json, name, range);
        use(name, std::move(tensor), range);
    });
    json.end();
}

// The number of bytes of a tensor; throws invalid_argument if there are more than `most`.
uint64_t size_of(const StoredTensor& tensor, const std::string& name, uint64_t most) {
    uint64_t bytes = bytes_of(tensor.type);
    for (const int64_t side : tensor.shape) {
        if (side != 0 && bytes > most / static_cast<uint64_t>(side))
            throw std::invalid_argument(name + " is larger than the file");
        bytes *= static_cast<uint64_t>(side);
    }
    return bytes;
}

}  // namespace

const char* name_of(DType type) {
    switch (type) {
        case DType::kInt8: return "int8";
        case DType::kUint8: return "uint8";
        case DType::kInt16: return "int16";
        case DType::kUint16: return "uint16";
        case DType::kInt32: return "int32";
        case DType::kInt64: return "int64";
        case DType::kFloat16: return "float16";
        case DType::kFloat32: return "float32";
    }
    return "unknown";
}

size_t bytes_of(DType type) {
    switch (type) {
        case DType::kInt8:
        case DType::kUint8: return 1;
        case DType::kInt16:
        case DType::kUint16:
        case DType::kFloat16: return 2;
        case DType::kInt32:
        case DType::kFloat32: return 4;
        case DType::kInt64: return 8;
    }
    return 0;
}

uint64_t safetensors_head_bytes(Span beginning) {
    if (beginning.size < kLengthBytes)
        throw std::invalid_argument("a file of " + std::to_string(beginning.size) + " bytes");
    uint64_t length = 0;
    for (size_t i = 0; i < kLengthBytes; ++i) length |= static_cast<uint64_t>(beginning.data[i]) << (8 * i);
    if (length > kMostHeader)
        throw std::invalid_argument("a header of " + std::to_string(length) + " bytes: at most " +
                                    std::to_string(kMostHeader) + " are allowed");
    return kLengthBytes + length;
}

std::map<std::string, std::string> safetensors_metadata(Span head) {
    std::map<std::string, std::string> metadata;
    read_header(head, metadata, [](const std::string&, StoredTensor&&, const Range&) {});
    return metadata;
}

Safetensors::Safetensors(Span file) {
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    throw std::invalid_argument("its numbers are little-endian, and this machine's are not");
#endif
    const uint64_t head = safetensors_head_bytes(file);
    if (head > file.size)
        throw std::invalid_argument("a header of " + std::to_string(head - kLengthBytes) + " bytes in a file of " +
                                    std::to_string(file.size));
    const Span data = file.part(head, file.size);
    std::map<uint64_t, std::pair<uint64_t, std::string>> ranges;  // by where they begin: the end, and the name
    read_header(file.part(0, head), metadata, [&](const std::string& name, StoredTensor&& tensor, const Range& range) {
        if (range.begin > range.end || range.end > data.size ||
            range.end - range.begin != size_of(tensor, name, data.size))
            throw std::invalid_argument(name + " has offsets that do not fit its shape or the file");
        if (range.begin % bytes_of(tensor.type) != 0 || head % bytes_of(tensor.type) != 0)
            throw std::invalid_argument(name + " is not aligned");
        tensor.bytes = data.part(range.begin, range.end);
        if (range.begin < range.end && !ranges.emplace(range.begin, std::pair(range.end, name)).second)
            throw std::invalid_argument(name + " overlaps another tensor");
        tensors.emplace(name, std::move(tensor));
    });
    uint64_t at = 0;
    for (const auto& [begin, rest] : ranges) {
        if (begin != at) throw std::invalid_argument(rest.second + " does not begin where the tensor before it ends");
        at = rest.first;
    }
    if (at != data.size) throw std::invalid_argument("bytes after the last tensor");
}

}  // namespace aec
