// Symbols whose index is 0 take no part in the coding (FORMAT §6): the others are brought together before it, and put
// in their places after.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "rans/coder_stream.h"

namespace aec {

// A second thread costs 20 us, but milliseconds where the process has others that spin for more work, as OpenMP's do
// after each of torch's operations. Coding this many symbols takes about 3 ms.
constexpr uint64_t kSymbolsPerThread = 1 << 21;
inline int threads_for(uint64_t n_symbols, int threads) {
    return static_cast<int>(std::min<uint64_t>(threads, 1 + n_symbols / kSymbolsPerThread));
}

class Compact {
public:
    // Fills this; `from` may be null, for a decoder.
    Fault take(const int16_t* from, const uint8_t* all_indexes, const std::vector<uint64_t>& all_segments, int threads);
    // What the tables expect the symbols to take, in 1/16 bit. (Not what they do take: that would be a pass of coding.)
    uint64_t cost(const Tables& tables) const;
    // symbols -> their places among all. all_indexes: those that `take` saw.
    void give(const uint8_t* all_indexes, int16_t* to, int threads) const;

    std::unique_ptr<uint8_t[]> indexes;  // [n] are in use, of as many as there are in all and kReach more
    std::unique_ptr<int16_t[]> symbols;  // the same
    std::vector<uint64_t> segments;      // lengths
    uint64_t n = 0;

private:
    // What one thread does at a time: n of all, from `position` on; the first that is coded becomes number `at`.
    struct Chunk {
        uint64_t position, n, at;
    };
    std::vector<Chunk> chunks_;
};

}  // namespace aec
