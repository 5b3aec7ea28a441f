#include "compact.h"

#include "compact_kernels.h"
#include "isa.h"

namespace aec {
namespace {

Fault check_symbol(int symbol, int index, uint64_t position) {
    if (index >= kIndexCount) return {Status::kIndex, position, index};
    if (symbol > kMaxSymbol || symbol < -kMaxSymbol) return {Status::kSymbol, position, symbol};
    if (index == 0 && symbol != 0) return {Status::kNotZero, position, symbol};
    return {};
}

// Without branches: whether an index is 0 cannot be foretold. Each element is written, and then kept or not.
uint64_t take_scalar(const int16_t* from, const uint8_t* indexes, uint64_t n, int16_t* to_symbols, uint8_t* to_indexes,
                     bool& fine) {
    uint64_t taken = 0;
    bool good = true;
    for (uint64_t i = 0; i < n; ++i) {
        const int symbol = from ? from[i] : 0;
        good &= !check_symbol(symbol, indexes[i], i);
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

CompactKernels compact_scalar() { return {&take_scalar, &sum_scalar, &give_scalar}; }

Fault Compact::take(const int16_t* from, const uint8_t* all_indexes, const std::vector<uint64_t>& all_segments) {
    uint64_t n_all = 0;
    for (const uint64_t length : all_segments) n_all += length;
    indexes.reset(new uint8_t[n_all + kReach]);
    symbols.reset(new int16_t[n_all + kReach]);
    segments.clear();
    n = 0;
    const CompactKernels run = kernels();
    bool fine = true;
    uint64_t position = 0;
    for (const uint64_t length : all_segments) {
        const uint64_t taken = run.take(from ? from + position : nullptr, all_indexes + position, length,
                                        from ? symbols.get() + n : nullptr, indexes.get() + n, fine);
        segments.push_back(taken);
        n += taken;
        position += length;
    }
    for (uint64_t i = 0; !fine && i < n_all; ++i)
        if (const Fault fault = check_symbol(from ? from[i] : 0, all_indexes[i], i)) return fault;
    return {};
}

uint64_t Compact::cost(const Tables& tables) const { return kernels().sum(tables.costs, indexes.get(), n); }

void Compact::give(const uint8_t* all_indexes, uint64_t n_all, int16_t* to) const {
    kernels().give(symbols.get(), all_indexes, n_all, to);
}

}  // namespace aec
