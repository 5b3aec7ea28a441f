// The loops of Compact, which instruction sets differ in.
#pragma once

#include "rans/coder_stream.h"

namespace aec {

struct CompactKernels {
    uint64_t (*count)(const uint8_t* indexes, uint64_t n);  // of those that are not 0
    // Takes those, and returns how many. from, to_symbols: both or neither null. room: elements that may be written, at
    // least as many as are taken; with kReach more all is done in vectors. fine becomes false if an index is above 63,
    // a symbol beyond kMaxSymbol, or not 0 where its index is 0.
    uint64_t (*take)(const int16_t* from, const uint8_t* indexes, uint64_t n, int16_t* to_symbols, uint8_t* to_indexes,
                     uint64_t room, bool& fine);
    uint64_t (*sum)(const uint8_t* costs, const uint8_t* indexes, uint64_t n);  // of costs[index]
    // Reads up to kReach elements of `from` beyond those it gives; writes to[0] to to[n - 1].
    void (*give)(const int16_t* from, const uint8_t* indexes, uint64_t n, int16_t* to);
};

CompactKernels compact_scalar();
CompactKernels compact_avx2();
CompactKernels compact_avx512();

}  // namespace aec
