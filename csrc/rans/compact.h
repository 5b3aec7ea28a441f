// Symbols whose index is 0 are not coded (FORMAT §6). Before coding, Compact gathers the other symbols and their
// indexes into dense arrays; after decoding, it scatters the symbols back to their positions, with zeros between them.
#pragma once

#include <algorithm>
#include <memory>

#include "base/buffer.h"
#include "rans/coder_stream.h"

namespace aec {

// The number of symbols from which a second thread is worth its start; coding so many takes about 3 ms. To start a
// thread takes 20 us, but milliseconds if other threads of the process are busy-waiting for work, as OpenMP's are after
// each operation of torch.
constexpr uint64_t kSymbolsPerThread = 1 << 21;
inline int threads_for(uint64_t n_symbols, int threads) {
    return static_cast<int>(std::min<uint64_t>(threads, 1 + n_symbols / kSymbolsPerThread));
}

class Compact {
public:
    // Gathers the coded symbols and indexes of all segments. from: the symbols of an encoder; null for a decoder, which
    // has only indexes. Returns the first symbol or index that is not allowed, if any.
    Fault take(const int16_t* from, const uint8_t* all_indexes, const Vector<uint64_t>& all_segments, int threads);
    // The expected size of the symbols under the tables, in 1/16 bits. It depends on the indexes only; the actual size
    // would take as long to find as the coding itself.
    uint64_t cost(const Tables& tables) const;
    // Scatters the symbols to to[all]. all_indexes: the same as in `take`.
    void give(const uint8_t* all_indexes, int16_t* to, int threads) const;

    Buffer<uint8_t> indexes;   // the first n are used; allocated: the number of all symbols, and kReach
    Buffer<int16_t> symbols;   // the same
    Vector<uint64_t> segments;      // numbers of coded symbols; they sum to n
    uint64_t n = 0;

private:
    // The unit of work of a thread: n of all symbols, from `position` on. Its first coded symbol is number `at` of
    // those that are gathered.
    struct Chunk {
        uint64_t position, n, at;
    };
    Vector<Chunk> chunks_;
};

}  // namespace aec
