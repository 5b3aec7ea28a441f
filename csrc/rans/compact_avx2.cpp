#include <immintrin.h>

#include "rans/compact_kernels.h"

namespace aec {
namespace {

// Permutations for each set of the 8 elements of 16 bits (a bit mask): for each target byte, the number of its source
// byte. In `expand`, 0x80 makes the target 0.
struct Moves {
    uint8_t compress[256][16];
    uint8_t expand[256][16];
};

constexpr Moves make_moves() {
    Moves moves = {};
    for (int set = 0; set < 256; ++set) {
        int n = 0;
        for (int i = 0; i < 8; ++i) {
            const bool in_set = set >> i & 1;
            for (int byte = 0; byte < 2; ++byte) {
                moves.expand[set][2 * i + byte] = static_cast<uint8_t>(in_set ? 2 * n + byte : 0x80);
                if (in_set)
                    moves.compress[set][2 * n + byte] = static_cast<uint8_t>(2 * i + byte);
            }
            n += in_set;
        }
    }
    return moves;
}

alignas(64) constexpr Moves kMoves = make_moves();

__m128i load(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
__m128i load8(const void* p) { return _mm_loadl_epi64(static_cast<const __m128i*>(p)); }
void store(void* p, __m128i v) { _mm_storeu_si128(static_cast<__m128i*>(p), v); }
uint32_t coded_of(__m128i index) {  // index: 8 elements of 16 bits; returns a bit mask of those that are not 0
    const __m128i zero = _mm_cmpeq_epi16(index, _mm_setzero_si128());
    return ~static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(zero, zero))) & 0xFF;
}

uint64_t count(const uint8_t* indexes, uint64_t n) {
    uint64_t zeros = 0, i = 0;
    for (; i + 32 <= n; i += 32) {
        const __m256i index = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(indexes + i));
        const __m256i zero = _mm256_cmpeq_epi8(index, _mm256_setzero_si256());
        zeros += __builtin_popcount(static_cast<uint32_t>(_mm256_movemask_epi8(zero)));
    }
    return i - zeros + compact_scalar().count(indexes + i, n - i);
}

uint64_t take(const int16_t* from, const uint8_t* indexes, uint64_t n, int16_t* to_symbols, uint8_t* to_indexes,
              uint64_t room, bool& fine) {
    const uint8_t* const begin = to_indexes;
    const uint8_t* const end = begin + room;
    __m128i bad = _mm_setzero_si128();
    uint64_t i = 0;
    for (; i + 8 <= n && end - to_indexes >= 8; i += 8) {
        const __m128i index = _mm_cvtepu8_epi16(load8(indexes + i));
        const uint32_t coded = coded_of(index);
        const __m128i compress = load(kMoves.compress[coded]);
        const __m128i packed = _mm_shuffle_epi8(index, compress);
        bad = _mm_or_si128(bad, _mm_cmpgt_epi16(index, _mm_set1_epi16(kIndexCount - 1)));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(to_indexes), _mm_packus_epi16(packed, packed));
        to_indexes += __builtin_popcount(coded);
        if (from == nullptr)
            continue;
        const __m128i symbol = load(from + i);
        // The absolute value of -32768 is 32768 as an unsigned number, so the comparison is unsigned.
        bad = _mm_or_si128(bad, _mm_subs_epu16(_mm_abs_epi16(symbol), _mm_set1_epi16(kMaxSymbol)));
        bad = _mm_or_si128(bad, _mm_and_si128(symbol, _mm_cmpeq_epi16(index, _mm_setzero_si128())));
        store(to_symbols, _mm_shuffle_epi8(symbol, compress));
        to_symbols += __builtin_popcount(coded);
    }
    fine &= _mm_testz_si128(bad, bad) != 0;
    const uint64_t rest = compact_scalar().take(from ? from + i : nullptr, indexes + i, n - i, to_symbols, to_indexes,
                                                static_cast<uint64_t>(end - to_indexes), fine);
    return static_cast<uint64_t>(to_indexes - begin) + rest;
}

void give(const int16_t* from, const uint8_t* indexes, uint64_t n, int16_t* to) {
    uint64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint32_t coded = coded_of(_mm_cvtepu8_epi16(load8(indexes + i)));
        store(to + i, _mm_shuffle_epi8(load(from), load(kMoves.expand[coded])));
        from += __builtin_popcount(coded);
    }
    compact_scalar().give(from, indexes + i, n - i, to + i);
}

}  // namespace

CompactKernels compact_avx2() { return {&count, &take, compact_scalar().sum, &give}; }

}  // namespace aec
