// Writes varints (FORMAT §1) behind what a string has.
#pragma once

#include "base/memory.h"

namespace aec {

inline void append_varint(ByteString& to, uint64_t value) {
    for (; value >= 0x80; value >>= 7) to.push_back(static_cast<char>(value | 0x80));
    to.push_back(static_cast<char>(value));
}

}  // namespace aec
