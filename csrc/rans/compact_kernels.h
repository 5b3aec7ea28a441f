// The inner loops of Compact, which exist once for each instruction set.
#pragma once

#include "rans/coder_stream.h"

namespace aec {

struct CompactKernels {
    uint64_t (*count)(const uint8_t* indexes, uint64_t n);  // the number of indexes that are not 0
    // Copies the indexes that are not 0, and their symbols, and returns their number. from, to_symbols: both null if
    // there are no symbols. room: how many elements may be written; at least as many as are copied, and with kReach
    // more the loop can use whole vectors to its end. Sets fine to false if an index is above 63, a symbol's magnitude
    // is above kMaxSymbol, or a symbol with index 0 is not 0.
    uint64_t (*take)(const int16_t* from, const uint8_t* indexes, uint64_t n, int16_t* to_symbols, uint8_t* to_indexes,
                     uint64_t room, bool& fine);
    uint64_t (*sum)(const uint8_t* costs, const uint8_t* indexes, uint64_t n);  // the sum of costs[indexes[i]]
    // The inverse of `take`: writes to[0] to to[n - 1], the next symbol of `from` where the index is not 0, and 0
    // elsewhere. May read up to kReach elements of `from` beyond the last that it needs.
    void (*give)(const int16_t* from, const uint8_t* indexes, uint64_t n, int16_t* to);
};

CompactKernels compact_scalar();
CompactKernels compact_avx2();
CompactKernels compact_avx512();

}  // namespace aec
