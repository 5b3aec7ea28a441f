#include "rans/compact.h"

#include <atomic>

#include "base/isa.h"
#include "base/parallel.h"
#include "rans/compact_kernels.h"

namespace aec {
namespace {

constexpr uint64_t kChunk = 1 << 16;  // symbols that a thread handles at a time

Fault check_symbol(int symbol, int index, uint64_t position) {
    if (index >= kIndexCount) return {Status::kIndex, position, index};
    if (symbol > kMaxSymbol || symbol < -kMaxSymbol) return {Status::kSymbol, position, symbol};
    if (index == 0 && symbol != 0) return {Status::kNotZero, position, symbol};
    return {};
}

uint64_t count_scalar(const uint8_t* indexes, uint64_t n) {
    uint64_t count = 0;
    for (uint64_t i = 0; i < n; ++i) count += indexes[i] != 0;
    return count;
}

// A branch predictor cannot guess whether an index is 0, so there is no branch on it: every symbol is written, and the
// next one overwrites it if it is not to be kept.
uint64_t take_scalar(const int16_t* from, const uint8_t* indexes, uint64_t n, int16_t* to_symbols, uint8_t* to_indexes,
                     uint64_t room, bool& fine) {
    uint64_t taken = 0;
    bool good = true;
    for (uint64_t i = 0; i < n; ++i) {
        const int symbol = from ? from[i] : 0;
        good &= !check_symbol(symbol, indexes[i], i);
        if (taken == room) continue;  // all coded symbols are written; the rest have index 0 and are only checked
        if (from) to_symbols[taken] = static_cast<int16_t>(symbol);
        to_indexes[taken] = indexes[i];
        taken += indexes[i] != 0;
    }
    fine &= good;
    return taken;
}

uint64_t sum_scalar(const uint8_t* costs, const uint8_t* indexes, uint64_t n) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < n; ++i) sum += costs[indexes[i]];
    return sum;
}

void give_scalar(const int16_t* from, const uint8_t* indexes, uint64_t n, int16_t* to) {
    for (uint64_t i = 0; i < n; ++i) {
        to[i] = indexes[i] != 0 ? *from : int16_t{0};
        from += indexes[i] != 0;
    }
}

CompactKernels kernels() {
#if defined(__x86_64__)
    if (current_isa() == Isa::kAvx512) return compact_avx512();
    if (current_isa() == Isa::kAvx2) return compact_avx2();
#endif
    return compact_scalar();
}

}  // namespace

CompactKernels compact_scalar() { return {&count_scalar, &take_scalar, &sum_scalar, &give_scalar}; }

Fault Compact::take(const int16_t* from, const uint8_t* all_indexes, const Vector<uint64_t>& all_segments,
                    int threads) {
    uint64_t n_all = 0;
    for (const uint64_t length : all_segments) n_all += length;
    indexes = Buffer<uint8_t>(n_all + kReach);
    symbols = Buffer<int16_t>(n_all + kReach);
    const CompactKernels run = kernels();
    // A single thread handles the chunks in order, and may write beyond the symbols that it keeps. With several
    // threads, a first pass counts the coded symbols of each chunk, so that each thread knows where its symbols begin
    // and end.
    const bool alone = threads_for(n_all, threads) == 1;
    Vector<uint64_t> counts;
    chunks_.clear();
    uint64_t position = 0;
    for (const uint64_t length : all_segments)
        for (uint64_t left = length; left > 0;) {
            const uint64_t here = alone ? left : std::min(left, kChunk);
            chunks_.push_back({position, here, 0});
            position += here;
            left -= here;
        }
    counts.resize(chunks_.size());
    if (!alone)
        parallel_for(threads, chunks_.size(), [&](int64_t i) {
            counts[i] = run.count(all_indexes + chunks_[i].position, chunks_[i].n);
        });
    std::atomic<bool> all_fine{true};
    const auto take_chunk = [&](int64_t i, uint64_t room) {
        const Chunk& chunk = chunks_[i];
        bool fine = true;
        const uint64_t taken =
            run.take(from ? from + chunk.position : nullptr, all_indexes + chunk.position, chunk.n,
                     from ? symbols.get() + chunk.at : nullptr, indexes.get() + chunk.at, room, fine);
        if (!fine) all_fine.store(false, std::memory_order_relaxed);
        return taken;
    };
    n = 0;
    for (size_t i = 0; i < chunks_.size(); ++i) {
        chunks_[i].at = n;
        if (alone) counts[i] = take_chunk(i, n_all + kReach - n);
        n += counts[i];
    }
    if (!alone) parallel_for(threads, chunks_.size(), [&](int64_t i) { take_chunk(i, counts[i]); });
    for (uint64_t i = 0; !all_fine && i < n_all; ++i)
        if (const Fault fault = check_symbol(from ? from[i] : 0, all_indexes[i], i)) return fault;

    segments.clear();
    size_t next = 0;
    for (const uint64_t length : all_segments) {
        uint64_t coded = 0;
        for (uint64_t left = length; left > 0; left -= chunks_[next++].n) coded += counts[next];
        segments.push_back(coded);
    }
    return {};
}

uint64_t Compact::cost(const Tables& tables) const { return kernels().sum(tables.costs, indexes.get(), n); }

void Compact::give(const uint8_t* all_indexes, int16_t* to, int threads) const {
    const CompactKernels run = kernels();
    parallel_for(chunks_.size() > 1 ? threads : 1, chunks_.size(), [&](int64_t i) {
        const Chunk& chunk = chunks_[i];
        run.give(symbols.get() + chunk.at, all_indexes + chunk.position, chunk.n, to + chunk.position);
    });
}

}  // namespace aec
