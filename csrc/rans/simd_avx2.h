// AVX2 operations for coder_vector.h, on vectors of 8 lanes. Only files that are compiled for AVX2 may include this.
#pragma once

#include <immintrin.h>

#include "base/portable.h"

namespace aec {
namespace {

// Permutations for each set of lanes (a bit mask): for each target lane, the number of its source lane.
struct Moves {
    uint8_t expand[256][8];    // moves the i-th word to the i-th lane of the set
    uint8_t compress[256][8];  // moves the lanes of the set, in their order, to the highest lanes
};

constexpr Moves make_moves() {
    Moves moves = {};
    for (int set = 0; set < 256; ++set) {
        int n = 0;
        for (int lane = 0; lane < 8; ++lane)
            n += set >> lane & 1;
        int word = 0;
        for (int lane = 0; lane < 8; ++lane) {
            if (!(set >> lane & 1))
                continue;
            moves.expand[set][lane] = static_cast<uint8_t>(word);
            moves.compress[set][8 - n + word] = static_cast<uint8_t>(lane);
            ++word;
        }
    }
    return moves;
}

alignas(64) constexpr Moves kMoves = make_moves();

struct Avx2 {
    static constexpr int kLanes = 8;
    using Vec = __m256i;
    using Mask = __m256i;  // in each lane all bits are set, or none

    static Vec set(int value) { return _mm256_set1_epi32(value); }
    static Vec load(const uint32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
    static void store(uint32_t* p, Vec v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
    static Vec load_u8(const uint8_t* p) {
        return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    }
    static Vec load_i16(const int16_t* p) {
        return _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static __m128i low_halves(Vec v) {
        const __m256i pick = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                              0, 1, 4, 5, 8, 9, 12, 13, -1, -1, -1, -1, -1, -1, -1, -1);
        return _mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_shuffle_epi8(v, pick), 0x08));
    }
    static void store_i16(int16_t* p, Vec v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), low_halves(v)); }

    static Vec add(Vec a, Vec b) { return _mm256_add_epi32(a, b); }
    static Vec sub(Vec a, Vec b) { return _mm256_sub_epi32(a, b); }
    static Vec mul(Vec a, Vec b) { return _mm256_mullo_epi32(a, b); }
    static Vec and_(Vec a, Vec b) { return _mm256_and_si256(a, b); }
    static Vec or_(Vec a, Vec b) { return _mm256_or_si256(a, b); }
    template <int kBy>
    static Vec shl(Vec a) {
        return _mm256_slli_epi32(a, kBy);
    }
    template <int kBy>
    static Vec shr(Vec a) {
        return _mm256_srli_epi32(a, kBy);
    }
    static Vec shlv(Vec a, Vec by) { return _mm256_sllv_epi32(a, by); }
    static Vec shrv(Vec a, Vec by) { return _mm256_srlv_epi32(a, by); }
    static Vec sarv(Vec a, Vec by) { return _mm256_srav_epi32(a, by); }

    static Mask at_least(Vec a, Vec b) { return _mm256_xor_si256(_mm256_cmpgt_epi32(b, a), set(-1)); }  // signed
    static Mask below_2_16(Vec a) { return _mm256_cmpeq_epi32(shr<16>(a), set(0)); }                    // unsigned
    static Mask or_masks(Mask a, Mask b) { return _mm256_or_si256(a, b); }
    static bool any(Mask m) { return !_mm256_testz_si256(m, m); }
    static uint32_t bits(Mask m) { return _mm256_movemask_ps(_mm256_castsi256_ps(m)); }
    static Vec select(Mask m, Vec a, Vec b) { return _mm256_blendv_epi8(b, a, m); }
    static Vec increment(Vec a, Mask m) { return _mm256_sub_epi32(a, m); }
    static Vec decrement(Vec a, Mask m) { return _mm256_add_epi32(a, m); }

    static Vec gather4(const void* table, Vec i) {
        return _mm256_i32gather_epi32(static_cast<const int*>(table), i, 4);
    }
    // Loads the uint16 table[i]. The instruction reads two bytes after the element too.
    static Vec gather2(const void* table, Vec i) {
        return and_(_mm256_i32gather_epi32(static_cast<const int*>(table), i, 2), set(0xFFFF));
    }
    // Loads the byte table[i] of a table of 64 bytes. The instruction reads three bytes after the element too.
    static Vec lookup(const uint8_t* table, Vec i) {
        return and_(_mm256_i32gather_epi32(reinterpret_cast<const int*>(table), i, 1), set(0xFF));
    }

    // x / freq in float32, rounded towards 0. x is unsigned, freq is below 2^15, and the quotient must be below 2^31.
    static Vec divide_roughly(Vec x, Vec freq) {
        const __m256 high = _mm256_cvtepi32_ps(shr<16>(x)), low = _mm256_cvtepi32_ps(and_(x, set(0xFFFF)));
        const __m256 whole = _mm256_add_ps(_mm256_mul_ps(high, _mm256_set1_ps(65536.0f)), low);
        return _mm256_cvttps_epi32(_mm256_div_ps(whole, _mm256_cvtepi32_ps(freq)));
    }

    static Vec moves(const uint8_t* p) { return load_u8(p); }

    static Vec take_words(Vec x, Mask wants, const uint8_t*& words) {
        const uint32_t set = bits(wants);
        const Vec next = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(words)));
        words += 2 * __builtin_popcount(set);
        const Vec refilled = or_(shl<16>(x), _mm256_permutevar8x32_epi32(next, moves(kMoves.expand[set])));
        return select(wants, refilled, x);
    }

    static Vec give_words(Vec x, Mask gives, uint8_t*& head) {
        const uint32_t set = bits(gives);
        const Vec packed = _mm256_permutevar8x32_epi32(x, moves(kMoves.compress[set]));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(head - 16), low_halves(packed));
        head -= 2 * __builtin_popcount(set);
        return select(gives, shr<16>(x), x);
    }
};

}  // namespace
}  // namespace aec
