// The networks' kernels for AVX-512 with VNNI. vpdpwssd multiplies int16 and adds neighbouring products to
// accumulators.
#include <immintrin.h>

#include "engine/nets_simd.h"

namespace aec {
namespace {

struct Avx512 {
    using Sums = __m512i;
    using Values = __m512i;
    static constexpr int kLanes = 16;
    static constexpr int kRows = 12, kSums = 2;  // 32 registers: 24 sums, 2 for weights; factors are memory operands

    template <int n>
    struct Weights {
        __m512i v[n];
    };
    using Factor = __m512i;
    template <int n>
    static Weights<n> weights(const int16_t* p) {
        Weights<n> w;
        for (int v = 0; v < n; ++v) w.v[v] = load(p + v * 2 * kLanes);
        return w;
    }
    static Factor factor(const int16_t* p) {
        int32_t pair;
        __builtin_memcpy(&pair, p, sizeof pair);
        return _mm512_set1_epi32(pair);
    }
    template <int n>
    static void multiply_add(Sums* sums, const Weights<n>& w, Factor x) {
        for (int v = 0; v < n; ++v) sums[v] = _mm512_dpwssd_epi32(sums[v], w.v[v], x);
    }

    static void tap_pair(Sums& low, Sums& high, Values x0, Values x1, Values w0, Values w1) {
        low = _mm512_dpwssd_epi32(low, _mm512_unpacklo_epi16(x0, x1), _mm512_unpacklo_epi16(w0, w1));
        high = _mm512_dpwssd_epi32(high, _mm512_unpackhi_epi16(x0, x1), _mm512_unpackhi_epi16(w0, w1));
    }
    static void split(Sums& low, Sums& high) {
        const Sums a = low, b = high;
        low = _mm512_permutex2var_epi64(a, _mm512_setr_epi64(0, 1, 4, 5, 8, 9, 12, 13), b);
        high = _mm512_permutex2var_epi64(a, _mm512_setr_epi64(2, 3, 6, 7, 10, 11, 14, 15), b);
    }
    static Values join(Sums low, Sums high) { return _mm512_packs_epi32(low, high); }
    static Values narrow(Sums a, Sums b) {
        return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), _mm512_packs_epi32(a, b));
    }

    static Sums shift_right(Sums x, Sums count) { return _mm512_srav_epi32(x, count); }
    static Sums widen(const int16_t* p) {
        return _mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
    static Sums add(Sums a, Sums b) { return _mm512_add_epi32(a, b); }
    static Sums leaky(Sums x) {
        return _mm512_max_epi32(x, _mm512_srai_epi32(_mm512_add_epi32(x, _mm512_set1_epi32(kLeakHalf)), kLeakBits));
    }
    static Sums no_sums() { return _mm512_setzero_si512(); }
    static Values zero() { return _mm512_setzero_si512(); }
    static __m512i load(const void* p) { return _mm512_loadu_si512(p); }
    static void store(int32_t* p, Sums x) { _mm512_storeu_si512(p, x); }
    static void store(int16_t* p, Values x) { _mm512_storeu_si512(p, x); }
    static void keep(Sums& x) { asm volatile("" : "+v"(x)); }
};

}  // namespace

constexpr Kernels kAvx512Kernels = kernels_of<Avx512>();

}  // namespace aec
