// One stream's share of one segment: the part of the CPU coder that instruction sets differ in.
#pragma once

#include "base/status.h"
#include "rans/layout.h"

namespace aec {

// How far vectors reach beyond what they mean: words are read up to here after the last that a row can take, and
// written up to here before the head. Buffers of words have this much room at that end.
constexpr int kReach = 64;

struct Share {
    int lanes_log2;
    uint32_t stream;
    uint64_t n;              // symbols of the segment, those with index 0 left out
    const uint8_t* indexes;  // [n], 1..63
};

struct StreamCoder {
    // words: the next one; on return the one after. A row that runs beyond `end` is found out after it: it reads up to
    // max_row_bytes + kReach from there.
    Status (*decode)(const Tables& tables, const Share& share, State* states, const uint8_t*& words,
                     const uint8_t* end, int16_t* symbols);
    // Last row first, below `head`. Returns the new head.
    uint8_t* (*encode)(const Tables& tables, const Share& share, State* states, uint8_t* head, const int16_t* symbols);
};

// For streams of `width` lanes, 1, 2, 4 .. 32. Vector coders need a width of 8 and more.
StreamCoder scalar_coder(uint32_t width);
StreamCoder neon_coder(uint32_t width);
StreamCoder avx2_coder(uint32_t width);
StreamCoder avx512_coder(uint32_t width);

}  // namespace aec
