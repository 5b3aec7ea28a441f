// What the functions of aec.h that encode share: samples and metadata that the caller gives, and the file it gets.
#pragma once

#include "base/memory.h"
#include "capi/guard.h"
#include "picture/encode.h"

namespace aec {

constexpr int kMetadataRoom = sizeof aec_encode_options::metadata / sizeof(aec_bytes);
static_assert(kMetadataRoom >= kKindCount);

// As an int, or a large one that no check allows.
inline int int_of(uint32_t value) { return static_cast<int>(std::min<uint32_t>(value, 1u << 30)); }

// These throw invalid_argument if what is given is not as aec.h says, and Error of kind kLimit if it is too large.
SampleView samples_of(const aec_picture& picture);
std::array<Span, kKindCount> metadata_of(const aec_bytes (&blocks_given)[kMetadataRoom], int depth);
void check_tile(uint32_t side);

// Throws what becomes the status that `write` returns.
inline void write_out(const ByteString& file, aec_write write, void* user) {
    if (const int32_t status = write(user, file.data(), file.size())) throw_status(status, "write");
}

}  // namespace aec
