// What FORMAT §2.2 allows of the entries of a file: readers refuse more, and writers do not write it.
#pragma once

#include <algorithm>

#include "container/header.h"

namespace aec {

constexpr uint32_t kMinPayload = 5;  // bytes: the lanes byte and the state of one lane (FORMAT §3)
constexpr uint32_t kMaxSection = 1 << 26;  // bytes of a block of metadata, not compressed

// Bytes of the blocks of metadata that always have the same length; else 0.
inline uint32_t fixed_length(Kind kind) { return kind == kCicp ? 4 : kind == kBits ? 1 : 0; }

// How long a block may be that is compressed to so many bytes. Real blocks stay below it; it keeps a small file from
// filling the memory.
inline uint64_t most_unpacked(uint64_t packed) { return std::max(uint64_t{1} << 20, 64 * packed); }

}  // namespace aec
