// Reads a safetensors file: 8 bytes with the length of its JSON header, the header, and the tensors' data.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/span.h"

namespace aec {

enum class DType { kInt8, kUint8, kInt16, kUint16, kInt32, kInt64, kFloat16, kFloat32 };
const char* name_of(DType type);  // torch's and numpy's: "int16"
size_t bytes_of(DType type);

struct StoredTensor {
    DType type;
    std::vector<int64_t> shape;
    Span bytes;
};

// Points into the file's bytes, which must outlive it. Tensors are aligned if the file is aligned to 8 bytes.
struct Safetensors {
    std::map<std::string, std::string> metadata;
    std::map<std::string, StoredTensor> tensors;

    // Throws invalid_argument, which says what is wrong: the tensors must fill the file, one after the other.
    explicit Safetensors(Span file);
};

// How many bytes at the beginning of a file hold the header's length, and how many the length and the header; throws
// invalid_argument if the header is too long.
constexpr size_t kSafetensorsLengthBytes = 8;
uint64_t safetensors_head_bytes(Span beginning);
// The metadata in the beginning of a file. Throws invalid_argument.
std::map<std::string, std::string> safetensors_metadata(Span head);

}  // namespace aec
