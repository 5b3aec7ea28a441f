// The loops of Compact, which instruction sets differ in. Outputs have kReach bytes of room behind them, as has `from`
// of `give`.
#pragma once

#include "coder_stream.h"

namespace aec {

struct CompactKernels {
    // Returns how many were taken. from, to_symbols: both or neither null. fine becomes false if an index is above 63,
    // a symbol beyond kMaxSymbol, or not 0 where its index is 0.
    uint64_t (*take)(const int16_t* from, const uint8_t* indexes, uint64_t n, int16_t* to_symbols, uint8_t* to_indexes,
                     bool& fine);
    uint64_t (*sum)(const uint8_t* costs, const uint8_t* indexes, uint64_t n);  // of costs[index]
    void (*give)(const int16_t* from, const uint8_t* indexes, uint64_t n, int16_t* to);
};

CompactKernels compact_scalar();
CompactKernels compact_avx2();
CompactKernels compact_avx512();

}  // namespace aec
