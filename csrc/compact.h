// Symbols whose index is 0 take no part in the coding (FORMAT §6): the others are brought together before it, and put
// in their places after.
#pragma once

#include <memory>
#include <vector>

#include "coder_stream.h"

namespace aec {

struct Compact {
    std::unique_ptr<uint8_t[]> indexes;  // [n], and kReach bytes that vectors may touch
    std::unique_ptr<int16_t[]> symbols;  // the same
    std::vector<uint64_t> segments;      // lengths
    uint64_t n = 0;

    // Fills this; `from` may be null, for a decoder.
    Fault take(const int16_t* from, const uint8_t* all_indexes, const std::vector<uint64_t>& all_segments);
    // What the tables expect the symbols to take, in 1/16 bit. (Not what they do take: that would be a pass of coding.)
    uint64_t cost(const Tables& tables) const;
    // symbols -> their places among all n.
    void give(const uint8_t* all_indexes, uint64_t n_all, int16_t* to) const;
};

}  // namespace aec
