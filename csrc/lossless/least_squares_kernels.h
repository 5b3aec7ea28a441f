// The kernels of least_squares.h, which each instruction set compiles for itself (base/isa.h says why).
#pragma once

#include "lossless/least_squares.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace aec {
namespace {

constexpr int kRidge = 64;                       // is added to the diagonal, so that there is always one solution
constexpr int64_t kMaxProduct = int64_t{1} << 29;
constexpr int64_t kMaxFactor = int64_t{1} << 21;  // 32 in units of 2^-16
constexpr int kDiagonalBits = 28;

int64_t clamped(int64_t v, int64_t limit) { return v < -limit ? -limit : v > limit ? limit : v; }
int bit_length(uint64_t v) { return v ? 64 - __builtin_clzll(v) : 0; }

#ifdef __AVX2__
constexpr int kLanes = 4;
#else
constexpr int kLanes = 2;
#endif
using Lanes = int64_t __attribute__((vector_size(8 * kLanes)));

// Products of numbers of 32 bits.
inline Lanes times(Lanes a, Lanes b) {
#ifdef __AVX2__
    return reinterpret_cast<Lanes>(_mm256_mul_epi32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#else
    return a * b;
#endif
}
inline Lanes clamped(Lanes v, int64_t limit) {
    const Lanes most = Lanes{} + limit, least = Lanes{} - limit;
    v = v > most ? most : v;
    return v < least ? least : v;
}
// v >> bits for |v| < 2^60: AVX2 has no such shift of negative numbers.
inline Lanes shifted(Lanes v, int bits) {
    using Unsigned = uint64_t __attribute__((vector_size(8 * kLanes)));
    const int64_t lifted = int64_t{1} << 60;
    return reinterpret_cast<Lanes>(reinterpret_cast<Unsigned>(v + lifted) >> bits) - (lifted >> bits);
}

void add(int32_t* sums, int n, int decay, const int32_t* features, int count) {
    const int end = row_end(n);
    for (int i = 0; i < n; ++i) {
        int32_t* row = sums + row_start(i, n);
        for (int first = row_begin(i); first < end; first += 8) {
            int32_t sum[8];
            for (int j = 0; j < 8; ++j) sum[j] = row[first + j] - (row[first + j] >> decay);
            for (int k = 0; k < count; ++k) {
                const int32_t* x = features + k * kRow;
                for (int j = 0; j < 8; ++j) sum[j] += x[i] * x[first + j];
            }
            for (int j = 0; j < 8; ++j) row[first + j] = sum[j];
        }
    }
}

struct Matrix {
    alignas(32) int64_t factors[kMaxFeatures][kRow], products[kMaxFeatures][kRow];
};

// products[j][i] -= the sum of factors[t][j] * products[t][i] over t < j, for `count` vectors of i from `first` on.
template <int count>
inline void eliminate(Matrix& m, int j, int first) {
    Lanes sums[count] = {};
    for (int t = 0; t < j; ++t) {
        const Lanes factor = Lanes{} + m.factors[t][j];
        const Lanes* column = reinterpret_cast<const Lanes*>(&m.products[t][first]);
        for (int k = 0; k < count; ++k) sums[k] += times(factor, column[k]);
    }
    Lanes* to = reinterpret_cast<Lanes*>(&m.products[j][first]);
    for (int k = 0; k < count; ++k) to[k] = clamped(to[k] - shifted(sums[k], 16), kMaxProduct);
}

// LDL^T (Cholesky without roots) of the products; `products` is L * D, `factors` is L in units of 2^-16, both by
// columns. The target is the last row, so that its part of L is what the forward substitution would give.
//
// Nothing overflows, whatever the sums are: products are at most 2^29 and factors 2^21, so a sum of 47 of them is below
// 2^56; a product times a reciprocal is at most 2^59.
void solve(const int32_t* left, const int32_t* middle, const int32_t* right, int n, int32_t* weights) {
    const auto product = [&](int at) { return int64_t{left[at]} + 2 * int64_t{middle[at]} + right[at]; };
    uint64_t largest = 0;
    for (int i = 0; i < n; ++i) {
        const int64_t v = product(row_start(i, n) + i);
        if (v > 0 && static_cast<uint64_t>(v) > largest) largest = static_cast<uint64_t>(v);
    }
    const int bits = bit_length(largest), shift = bits > kDiagonalBits ? bits - kDiagonalBits : 0;

    Matrix m;
    const int end = row_end(n);
    for (int j = 0; j < n; ++j) {
        int first = row_begin(j);
        const int start = row_start(j, n);
        for (int i = first; i < end; ++i) m.products[j][i] = clamped(product(start + i) >> shift, kMaxProduct);
        m.products[j][j] += kRidge;
        for (; first + 16 <= end; first += 16) eliminate<16 / kLanes>(m, j, first);
        if (first < end) eliminate<8 / kLanes>(m, j, first);

        const int64_t diagonal = m.products[j][j] < kRidge / 2 ? kRidge / 2 : m.products[j][j];
        const int length = bit_length(static_cast<uint64_t>(diagonal));
        const Lanes reciprocal = Lanes{} + (int64_t{1} << (length + 29)) / diagonal;  // 2^29 to 2^30
        for (int i = row_begin(j); i < end; i += kLanes)
            *reinterpret_cast<Lanes*>(&m.factors[j][i]) = clamped(
                shifted(times(*reinterpret_cast<Lanes*>(&m.products[j][i]), reciprocal), length + 13), kMaxFactor);
    }
    for (int i = n; i < kRow; ++i) weights[i] = 0;
    for (int i = n - 1; i >= 0; --i) {
        int64_t sum = 0;
        for (int t = i + 1; t < n; ++t) sum += m.factors[i][t] * weights[t];
        weights[i] = static_cast<int32_t>(clamped(m.factors[i][n] - (sum >> 16), kMaxFactor));
    }
}

int64_t product(const int32_t* weights, const int32_t* features, int n) {
    int64_t sum = 0;
    for (int i = 0; i < n; i += 8)
        for (int j = i; j < i + 8; ++j) sum += int64_t{weights[j]} * features[j];
    return sum;
}

constexpr LeastSquaresKernels kKernels = {add, solve, product};

}  // namespace
}  // namespace aec
