// The networks' kernels on vectors of 128 bits, for machines without better ones: SSE2, which every x86-64 has, or
// WebAssembly's SIMD. Written with GCC's vector extensions where the two have the same operations.
#if defined(__SSE2__) || defined(__wasm_simd128__)
#if defined(__SSE2__)
#include <emmintrin.h>
#else
#include <wasm_simd128.h>
#endif

#include "engine/nets_simd.h"

namespace aec {
namespace {

struct Simd128 {
    typedef int32_t Sums __attribute__((vector_size(16)));
    typedef int16_t Values __attribute__((vector_size(16)));
    static constexpr int kLanes = 4;
    static constexpr int kRows = 4, kSums = 2;  // of 16 registers: 8 sums, 2 for weights, 1 factor, 1 product

    template <int n>
    struct Weights {
        Values v[n];
    };
    using Factor = Values;
    template <int n>
    static Weights<n> weights(const int16_t* p) {
        Weights<n> w;
        for (int v = 0; v < n; ++v) w.v[v] = load(p + v * 2 * kLanes);
        return w;
    }
    static Factor factor(const int16_t* p) {
        int32_t pair;
        __builtin_memcpy(&pair, p, sizeof pair);
        return (Values)(Sums{pair, pair, pair, pair});
    }
    template <int n>
    static void multiply_add(Sums* sums, const Weights<n>& w, Factor x) {
        for (int v = 0; v < n; ++v) sums[v] += products(w.v[v], x);
    }

    static void tap_pair(Sums& low, Sums& high, Values x0, Values x1, Values w0, Values w1) {
        low += products(low_pairs(x0, x1), low_pairs(w0, w1));
        high += products(high_pairs(x0, x1), high_pairs(w0, w1));
    }
    static void split(Sums&, Sums&) {}  // tap_pair keeps the order of channels
    static Values join(Sums low, Sums high) { return narrow(low, high); }

    // Neither instruction set can shift each lane by a count of its own, so compilers make several instructions of
    // this. It runs once for each output, outside of the inner loop.
    static Sums shift_right(Sums x, Sums count) { return x >> count; }
    static Sums widen(const int16_t* p) { return Sums{p[0], p[1], p[2], p[3]}; }
    static Sums add(Sums a, Sums b) { return a + b; }
    static Sums leaky(Sums x) {
        const Sums leaked = (x + kLeakHalf) >> kLeakBits;
        return x > leaked ? x : leaked;
    }
    static Sums no_sums() { return Sums{}; }
    static Values zero() { return Values{}; }
    static Values load(const int16_t* p) { return loaded<Values>(p); }
    static Sums load(const int32_t* p) { return loaded<Sums>(p); }
    static void store(int32_t* p, Sums x) { __builtin_memcpy(p, &x, sizeof x); }
    static void store(int16_t* p, Values x) { __builtin_memcpy(p, &x, sizeof x); }

    static Values low_pairs(Values a, Values b) { return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
    static Values high_pairs(Values a, Values b) { return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15); }
#if defined(__SSE2__)
    template <class T>
    static void keep(T& x) {
        asm volatile("" : "+x"(x));
    }
    static Sums products(Values a, Values b) { return (Sums)_mm_madd_epi16((__m128i)a, (__m128i)b); }
    static Values narrow(Sums a, Sums b) { return (Values)_mm_packs_epi32((__m128i)a, (__m128i)b); }
#else
    template <class T>
    static void keep(T& x) {
        asm volatile("" : "+r"(x));
    }
    static Sums products(Values a, Values b) { return (Sums)wasm_i32x4_dot_i16x8((v128_t)a, (v128_t)b); }
    static Values narrow(Sums a, Sums b) { return (Values)wasm_i16x8_narrow_i32x4((v128_t)a, (v128_t)b); }
#endif

private:
    template <class T>
    static T loaded(const void* p) {
        T x;
        __builtin_memcpy(&x, p, sizeof x);
        return x;
    }
};

}  // namespace

constexpr Kernels kSimd128Kernels = kernels_of<Simd128>();

}  // namespace aec
#endif
