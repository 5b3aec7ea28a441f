// The convolution kernels in SIMD, written once as templates over a class Simd that defines the operations of an
// instruction set. These classes are in nets_simd128.cpp, nets_avx2.cpp, nets_avx512.cpp and nets_neon.cpp.
//
// A class Simd has
//   Sums, Values          vectors of kLanes int32 (accumulators), and of 2 * kLanes int16 (activations)
//   kRows, kSums          the register tile of `pointwise`: kRows positions x kSums vectors of outputs; both are even
//   weights<n>(p)         Weights<n>: those of two inputs for n * kLanes outputs, loaded from [outputs][2]; n: kSums or
//                         half of it
//   Factor, factor(p)     the two inputs at p, broadcast to all lanes
//   multiply_add(sums, weights, factor)   for their n vectors: sums += first weight * first input + second * second
//   narrow(a, b)          the int32 of a, then those of b, saturated to int16
//   widen(p)              kLanes int16 at p, as Sums
//   shift_right(sums, counts), add, leaky (on Sums), no_sums (zeros), zero (of Values), load, store
//   keep(sums or factor)  makes the compiler assume that the variable is read and changed here
//
// and for the depthwise convolution, with two Sums, low and high, for 2 * kLanes channels. Which channel is in which
// lane of low and high is up to the class, because the instructions that pair two taps shuffle the channels:
//   tap_pair(low, high, x0, x1, w0, w1)   adds x0 * w0 + x1 * w1 to low and high
//   split(low, high)                      brings two vectors of consecutive channels into the order of tap_pair
//   join(low, high)                       saturates low and high to int16, in the original order of channels
//
// Everything is in an anonymous namespace, and nothing of the standard library is included (isa.h).
#pragma once

#include "engine/nets_rows.h"

namespace aec {
namespace {

// The loops over a register tile must be unrolled, because only then does the compiler keep the accumulators in
// registers.
#define AEC_UNROLL _Pragma("GCC unroll 16")

// Adds to `sums` the products of a register tile: n_rows positions from `in` on, `stride` elements apart, and
// kSums * kLanes outputs from first_output on. If n_rows < kRows, the surplus rows repeat the last one, and the caller
// ignores them. Inlined always, because otherwise the accumulators would be passed in memory.
template <class Simd, int kRows, int kSums>
[[gnu::always_inline]] inline void add_products(const Pointwise& conv, const int16_t* in, ptrdiff_t stride, int n_rows,
                                                int first_output, typename Simd::Sums (&sums)[kRows][kSums]) {
    static_assert(kBlock % (kSums * Simd::kLanes) == 0, "tiles divide a block");
    const int16_t* rows[kRows];
    AEC_UNROLL
    for (int r = 0; r < kRows; ++r) rows[r] = in + (r < n_rows ? r : n_rows - 1) * stride;
    const int16_t* weight =
        conv.weight + first_output / kBlock * conv.input_pairs * 2 * kBlock + first_output % kBlock * 2;
    for (int pair = 0; pair < conv.input_pairs; ++pair, weight += 2 * kBlock) {
        const auto w = Simd::template weights<kSums>(weight);
        AEC_UNROLL
        for (int r = 0; r < kRows; ++r) Simd::multiply_add(sums[r], w, Simd::factor(rows[r] + 2 * pair));
    }
}

template <class Simd>
[[gnu::always_inline]] inline typename Simd::Sums start_of(const Pointwise& conv, const PointwiseCall&, int output) {
    return Simd::load(conv.start + output);
}

template <class Simd>
[[gnu::always_inline]] inline typename Simd::Sums start_of(const Pointwise&, const SumsCall&, int) {
    return Simd::no_sums();
}

// Stores the sums of a position. If their number is odd, the vector of outputs that is stored last ends with zeros.
template <class Simd, int kSums>
[[gnu::always_inline]] inline void finish_row(const Pointwise& conv, const PointwiseCall& call, int row,
                                              int first_output, const typename Simd::Sums (&sums)[kSums]) {
    int16_t* const first = call.out + row * call.out_stride + first_output;
    const auto finished = [&](int v) __attribute__((always_inline)) {
        const int channel = first_output + v * Simd::kLanes;
        auto x = Simd::shift_right(sums[v], Simd::load(conv.shift + channel));
        if (call.vector) x = Simd::add(x, Simd::load(call.vector + channel));
        if (call.adds_to_out) x = Simd::add(x, Simd::widen(first + v * Simd::kLanes));
        return call.is_leaky ? Simd::leaky(x) : x;
    };
    AEC_UNROLL
    for (int v = 0; v < kSums; v += 2)
        Simd::store(first + v * Simd::kLanes,
                    Simd::narrow(finished(v), v + 1 < kSums ? finished(v + 1) : Simd::no_sums()));
}

template <class Simd, int kSums>
[[gnu::always_inline]] inline void finish_row(const Pointwise&, const SumsCall& call, int row, int first_output,
                                              const typename Simd::Sums (&sums)[kSums]) {
    AEC_UNROLL
    for (int v = 0; v < kSums; ++v)
        Simd::store(call.out + row * call.out_stride + first_output + v * Simd::kLanes, sums[v]);
}

template <class Simd, int kRows, int kSums, class Call>
void tile(const Pointwise& conv, const Call& call, int first_row, int first_output) {
    const int left = call.n - first_row, n_rows = left < kRows ? left : kRows;
    typename Simd::Sums sums[kRows][kSums];
    AEC_UNROLL
    for (int v = 0; v < kSums; ++v) {
        const auto start = start_of<Simd>(conv, call, first_output + v * Simd::kLanes);
        AEC_UNROLL
        for (int r = 0; r < kRows; ++r) sums[r][v] = start;
    }
    add_products<Simd>(conv, call.in + first_row * call.in_stride, call.in_stride, n_rows, first_output, sums);
    AEC_UNROLL
    for (int r = 0; r < kRows; ++r)
        if (r < n_rows) finish_row<Simd>(conv, call, first_row + r, first_output, sums[r]);
}

// Computes kSums * kLanes outputs of all positions. What is left at the end takes half a tile, if that is enough.
template <class Simd, int kSums, class Call>
void all_rows(const Pointwise& conv, const Call& call, int first_output) {
    constexpr int kRows = Simd::kRows, kHalf = kRows / 2;
    int row = 0;
    for (; call.n - row > kHalf; row += kRows) tile<Simd, kRows, kSums>(conv, call, row, first_output);
    if (row < call.n) tile<Simd, kHalf, kSums>(conv, call, row, first_output);
}

// The inner loop is over positions, so that the weights of a tile of outputs stay in the first-level cache meanwhile.
// What is only padding is left out, as far as vectors allow: nobody reads it but with weights of 0.
template <class Simd>
void pointwise(const Pointwise& conv, const PointwiseCall& call) {
    constexpr int kTile = Simd::kSums * Simd::kLanes, kHalf = kTile / 2;
    int output = 0;
    for (; conv.used - output > kHalf; output += kTile) all_rows<Simd, Simd::kSums>(conv, call, output);
    if (output < conv.used) all_rows<Simd, Simd::kSums / 2>(conv, call, output);
}

template <class Simd>
void sums(const Pointwise& conv, const SumsCall& call) {
    for (int output = 0; output < conv.outputs; output += Simd::kSums * Simd::kLanes)
        all_rows<Simd, Simd::kSums>(conv, call, output);
}

template <class Simd>
void depthwise(const Depthwise& conv, const DepthwiseCall& call) {
    for (int c = 0; c < conv.channels; c += 2 * Simd::kLanes) {
        typename Simd::Values weight[kTaps + 1];
        AEC_UNROLL
        for (int t = 0; t < kTaps; ++t) weight[t] = Simd::load(conv.weight + t * conv.channels + c);
        weight[kTaps] = Simd::zero();
        auto start_low = Simd::load(conv.start + c), start_high = Simd::load(conv.start + c + Simd::kLanes);
        auto shift_low = Simd::load(conv.shift + c), shift_high = Simd::load(conv.shift + c + Simd::kLanes);
        Simd::split(start_low, start_high);
        Simd::split(shift_low, shift_high);
        for (int i = 0; i < call.n; ++i) {
            auto low = start_low, high = start_high;
            AEC_UNROLL
            for (int t = 0; t < kTaps; t += 2) {
                const int other = t + 1 < kTaps ? t + 1 : t;  // the last tap is paired with itself, with weight 0
                Simd::tap_pair(low, high, Simd::load(call.taps[t] + i * call.strides[t] + c),
                               Simd::load(call.taps[other] + i * call.strides[other] + c), weight[t], weight[t + 1]);
            }
            const auto x = Simd::join(Simd::shift_right(low, shift_low), Simd::shift_right(high, shift_high));
            Simd::store(call.out + i * call.out_stride + c, x);
        }
    }
}

template <class Simd>
uint64_t multiply_add(uint64_t rounds) {
    alignas(64) int16_t factors[2 * kBlock];
    for (int i = 0; i < 2 * kBlock; ++i) factors[i] = static_cast<int16_t>(i);
    typename Simd::Sums sums[Simd::kRows][Simd::kSums];
    AEC_UNROLL
    for (int r = 0; r < Simd::kRows; ++r) {
        AEC_UNROLL
        for (int v = 0; v < Simd::kSums; ++v) sums[r][v] = Simd::load(reinterpret_cast<const int32_t*>(factors));
    }
    const auto w = Simd::template weights<Simd::kSums>(factors);
    auto x = Simd::factor(factors + 2);
    for (uint64_t i = 0; i < rounds; ++i) {
        AEC_UNROLL
        for (int r = 0; r < Simd::kRows; ++r) {
            Simd::keep(x);  // else the compiler would move the multiplications out of the loop
            Simd::multiply_add(sums[r], w, x);
            AEC_UNROLL
            for (int v = 0; v < Simd::kSums; ++v) Simd::keep(sums[r][v]);
        }
    }
    return rounds * Simd::kRows * Simd::kSums * Simd::kLanes * 2;
}

template <class Simd>
constexpr Kernels kernels_of() {
    return with_rows({pointwise<Simd>, depthwise<Simd>, sums<Simd>, multiply_add<Simd>});
}

#undef AEC_UNROLL

}  // namespace
}  // namespace aec
