// The networks' kernels for AVX2. vpmaddwd multiplies int16 and adds neighbouring products to int32.
#include <immintrin.h>

#include "engine/nets_simd.h"

namespace aec {
namespace {

struct Avx2 {
    using Sums = __m256i;
    using Values = __m256i;
    static constexpr int kLanes = 8;
    static constexpr int kRows = 6, kSums = 2;  // 16 registers: 12 sums, 2 for weights, 1 factor, 1 product

    template <int n>
    struct Weights {
        __m256i v[n];
    };
    using Factor = __m256i;
    template <int n>
    static Weights<n> weights(const int16_t* p) {
        Weights<n> w;
        for (int v = 0; v < n; ++v) w.v[v] = load(p + v * 2 * kLanes);
        return w;
    }
    static Factor factor(const int16_t* p) {
        int32_t pair;
        __builtin_memcpy(&pair, p, sizeof pair);
        return _mm256_set1_epi32(pair);
    }
    template <int n>
    static void multiply_add(Sums* sums, const Weights<n>& w, Factor x) {
        for (int v = 0; v < n; ++v) sums[v] = _mm256_add_epi32(sums[v], _mm256_madd_epi16(w.v[v], x));
    }

    static void tap_pair(Sums& low, Sums& high, Values x0, Values x1, Values w0, Values w1) {
        low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(x0, x1), _mm256_unpacklo_epi16(w0, w1)));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(x0, x1), _mm256_unpackhi_epi16(w0, w1)));
    }
    static void split(Sums& low, Sums& high) {
        const Sums a = low, b = high;
        low = _mm256_permute2x128_si256(a, b, 0x20);
        high = _mm256_permute2x128_si256(a, b, 0x31);
    }
    static Values join(Sums low, Sums high) { return _mm256_packs_epi32(low, high); }
    static Values narrow(Sums a, Sums b) { return _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8); }

    static Sums shift_right(Sums x, Sums count) { return _mm256_srav_epi32(x, count); }
    static Sums widen(const int16_t* p) {
        return _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static Sums add(Sums a, Sums b) { return _mm256_add_epi32(a, b); }
    static Sums leaky(Sums x) {
        return _mm256_max_epi32(x, _mm256_srai_epi32(_mm256_add_epi32(x, _mm256_set1_epi32(kLeakHalf)), kLeakBits));
    }
    static Sums no_sums() { return _mm256_setzero_si256(); }
    static Values zero() { return _mm256_setzero_si256(); }
    static __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
    static void store(int32_t* p, Sums x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x); }
    static void store(int16_t* p, Values x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x); }
    static void keep(Sums& x) { asm volatile("" : "+x"(x)); }
};

}  // namespace

constexpr Kernels kAvx2Kernels = kernels_of<Avx2>();

}  // namespace aec
