#include <immintrin.h>

#include "rans/compact_kernels.h"

namespace aec {
namespace {

// The loops handle 64 indexes at a time, in one vector, and their symbols in two vectors of 32. At the end of the
// arrays a mask leaves out the elements that do not exist.
__mmask64 first_lanes(uint64_t n) { return n >= 64 ? ~0ull : (1ull << n) - 1; }

uint64_t count(const uint8_t* indexes, uint64_t n) {
    uint64_t count = 0;
    for (uint64_t i = 0; i < n; i += 64) {
        const __m512i index = _mm512_maskz_loadu_epi8(first_lanes(n - i), indexes + i);
        count += __builtin_popcountll(_mm512_test_epi8_mask(index, index));
    }
    return count;
}

uint64_t take(const int16_t* from, const uint8_t* indexes, uint64_t n, int16_t* to_symbols, uint8_t* to_indexes,
              uint64_t room, bool& fine) {
    const uint8_t* const begin = to_indexes;
    const uint8_t* const end = begin + room;
    __mmask64 bad = 0;
    uint64_t i = 0;
    for (; i < n && end - to_indexes >= 64; i += 64) {
        const __mmask64 here = first_lanes(n - i);
        const __m512i index = _mm512_maskz_loadu_epi8(here, indexes + i);
        const __mmask64 coded = _mm512_test_epi8_mask(index, index);
        bad |= _mm512_cmpge_epu8_mask(index, _mm512_set1_epi8(kIndexCount));
        _mm512_storeu_si512(to_indexes, _mm512_maskz_compress_epi8(coded, index));
        to_indexes += __builtin_popcountll(coded);
        if (from == nullptr) continue;
        for (int half = 0; half < 64; half += 32) {
            const __mmask32 mask = static_cast<__mmask32>(coded >> half);
            const __m512i symbol = _mm512_maskz_loadu_epi16(static_cast<__mmask32>(here >> half), from + i + half);
            // The absolute value of -32768 is 32768 as an unsigned number, so the comparison is unsigned.
            bad |= _mm512_cmpgt_epu16_mask(_mm512_abs_epi16(symbol), _mm512_set1_epi16(kMaxSymbol));
            bad |= _mm512_test_epi16_mask(symbol, symbol) & ~mask;
            _mm512_storeu_si512(to_symbols, _mm512_maskz_compress_epi16(mask, symbol));
            to_symbols += __builtin_popcount(mask);
        }
    }
    fine &= bad == 0;
    uint64_t taken = static_cast<uint64_t>(to_indexes - begin);
    if (i < n)
        taken += compact_scalar().take(from ? from + i : nullptr, indexes + i, n - i, to_symbols, to_indexes,
                                       static_cast<uint64_t>(end - to_indexes), fine);
    return taken;
}

uint64_t sum(const uint8_t* costs, const uint8_t* indexes, uint64_t n) {
    const __m512i table = _mm512_loadu_si512(costs);
    __m512i sums = _mm512_setzero_si512();
    for (uint64_t i = 0; i < n; i += 64) {
        const __mmask64 here = first_lanes(n - i);
        const __m512i cost = _mm512_maskz_permutexvar_epi8(here, _mm512_maskz_loadu_epi8(here, indexes + i), table);
        sums = _mm512_add_epi64(sums, _mm512_sad_epu8(cost, _mm512_setzero_si512()));
    }
    return static_cast<uint64_t>(_mm512_reduce_add_epi64(sums));
}

void give(const int16_t* from, const uint8_t* indexes, uint64_t n, int16_t* to) {
    for (uint64_t i = 0; i < n; i += 64) {
        const __mmask64 here = first_lanes(n - i);
        const __m512i index = _mm512_maskz_loadu_epi8(here, indexes + i);
        const __mmask64 coded = _mm512_test_epi8_mask(index, index);
        for (int half = 0; half < 64; half += 32) {
            const __mmask32 mask = static_cast<__mmask32>(coded >> half);
            const __m512i symbol = _mm512_maskz_expand_epi16(mask, _mm512_loadu_si512(from));
            _mm512_mask_storeu_epi16(to + i + half, static_cast<__mmask32>(here >> half), symbol);
            from += __builtin_popcount(mask);
        }
    }
}

}  // namespace

CompactKernels compact_avx512() { return {&count, &take, &sum, &give}; }

}  // namespace aec
