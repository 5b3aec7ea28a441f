// Bytes as text.
#pragma once

#include <string>

#include "base/span.h"

namespace aec {

// Two hexadecimal digits, in lower case, for each byte.
inline std::string hex(Span bytes) {
    std::string text;
    for (size_t i = 0; i < bytes.size; ++i) {
        text += "0123456789abcdef"[bytes.data[i] >> 4];
        text += "0123456789abcdef"[bytes.data[i] & 15];
    }
    return text;
}

inline std::string hex(uint8_t byte) { return hex(Span{&byte, 1}); }

// What such a digit counts.
inline int value_of_digit(char digit) { return digit <= '9' ? digit - '0' : digit - 'a' + 10; }

}  // namespace aec
