#include "rans/coder_vector.h"
#include "rans/simd_avx2.h"

namespace aec {
namespace {

// Vectors of 16 lanes. `lookup` needs AVX-512 VBMI; give_words needs BW and VL.
struct Avx512 {
    static constexpr int kLanes = 16;
    using Vec = __m512i;
    using Mask = __mmask16;

    static Vec set(int value) { return _mm512_set1_epi32(value); }
    static Vec load(const uint32_t* p) { return _mm512_loadu_si512(p); }
    static void store(uint32_t* p, Vec v) { _mm512_storeu_si512(p, v); }
    static Vec load_u8(const uint8_t* p) {
        return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static Vec load_i16(const int16_t* p) {
        return _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
    static void store_i16(int16_t* p, Vec v) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(v));
    }

    static Vec add(Vec a, Vec b) { return _mm512_add_epi32(a, b); }
    static Vec sub(Vec a, Vec b) { return _mm512_sub_epi32(a, b); }
    static Vec mul(Vec a, Vec b) { return _mm512_mullo_epi32(a, b); }
    static Vec and_(Vec a, Vec b) { return _mm512_and_si512(a, b); }
    static Vec or_(Vec a, Vec b) { return _mm512_or_si512(a, b); }
    template <int kBy>
    static Vec shl(Vec a) {
        return _mm512_slli_epi32(a, kBy);
    }
    template <int kBy>
    static Vec shr(Vec a) {
        return _mm512_srli_epi32(a, kBy);
    }
    static Vec shlv(Vec a, Vec by) { return _mm512_sllv_epi32(a, by); }
    static Vec shrv(Vec a, Vec by) { return _mm512_srlv_epi32(a, by); }
    static Vec sarv(Vec a, Vec by) { return _mm512_srav_epi32(a, by); }

    static Mask at_least(Vec a, Vec b) { return _mm512_cmpge_epi32_mask(a, b); }
    static Mask below_2_16(Vec a) { return _mm512_cmplt_epu32_mask(a, set(1 << 16)); }
    static Mask or_masks(Mask a, Mask b) { return static_cast<Mask>(a | b); }
    static bool any(Mask m) { return m != 0; }
    static uint32_t bits(Mask m) { return m; }
    static Vec select(Mask m, Vec a, Vec b) { return _mm512_mask_mov_epi32(b, m, a); }
    static Vec increment(Vec a, Mask m) { return _mm512_mask_add_epi32(a, m, a, set(1)); }
    static Vec decrement(Vec a, Mask m) { return _mm512_mask_sub_epi32(a, m, a, set(1)); }

    static Vec gather4(const void* table, Vec i) { return _mm512_i32gather_epi32(i, table, 4); }
    static Vec gather2(const void* table, Vec i) { return and_(_mm512_i32gather_epi32(i, table, 2), set(0xFFFF)); }
    static Vec lookup(const uint8_t* table, Vec i) {
        return _mm512_and_si512(_mm512_permutexvar_epi8(i, _mm512_loadu_si512(table)), set(0xFF));
    }

    static Vec divide_roughly(Vec x, Vec freq) {
        return _mm512_cvttps_epi32(_mm512_div_ps(_mm512_cvtepu32_ps(x), _mm512_cvtepi32_ps(freq)));
    }

    static Vec take_words(Vec x, Mask wants, const uint8_t*& words) {
        const Vec next = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(words)));
        words += 2 * __builtin_popcount(wants);
        return _mm512_mask_or_epi32(x, wants, shl<16>(x), _mm512_maskz_expand_epi32(wants, next));
    }

    static Vec give_words(Vec x, Mask gives, uint8_t*& head) {
        const uint32_t n = __builtin_popcount(gives);
        head -= 2 * n;
        const __m256i words = _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(gives, x));
        _mm256_mask_storeu_epi16(head, static_cast<__mmask16>((1u << n) - 1), words);
        return _mm512_mask_srli_epi32(x, gives, x, 16);
    }
};

}  // namespace

StreamDecoder avx512_decoder(uint32_t width) { return vector_decoder<Avx2, Avx512, Avx512>(width); }
StreamEncoder avx512_encoder(uint32_t width) { return vector_encoder<Avx2, Avx512, Avx512>(width); }

}  // namespace aec
