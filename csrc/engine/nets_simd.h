// The convolution kernels in SIMD, written once as templates over a class Simd that defines the operations of an
// instruction set. These classes are in nets_simd128.cpp, nets_avx2.cpp, nets_avx512.cpp and nets_neon.cpp.
//
// A class Simd has
//   Sums, Values          vectors of kLanes int32 (accumulators), and of 2 * kLanes int16 (activations)
//   kRows, kSums          the register tile of `pointwise`: kRows positions x kSums vectors of outputs; kSums is even
//   Weights, weights(p)   the weights of two inputs for kSums * kLanes outputs, loaded from [outputs][2]
//   Factor, factor(p)     the two inputs at p, broadcast to all lanes
//   multiply_add(sums, weights, factor)   for the kSums vectors: sums += first weight * first input + second * second
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
template <class Simd>
[[gnu::always_inline]] inline void add_products(const Pointwise& conv, const int16_t* in, ptrdiff_t stride, int n_rows, int first_output,
                  typename Simd::Sums (&sums)[Simd::kRows][Simd::kSums]) {
    static_assert(kBlock % (Simd::kSums * Simd::kLanes) == 0, "tiles divide a block");
    const int16_t* rows[Simd::kRows];
    AEC_UNROLL
    for (int r = 0; r < Simd::kRows; ++r) rows[r] = in + (r < n_rows ? r : n_rows - 1) * stride;
    const int16_t* weight =
        conv.weight + first_output / kBlock * conv.input_pairs * 2 * kBlock + first_output % kBlock * 2;
    for (int pair = 0; pair < conv.input_pairs; ++pair, weight += 2 * kBlock) {
        const auto w = Simd::weights(weight);
        AEC_UNROLL
        for (int r = 0; r < Simd::kRows; ++r) Simd::multiply_add(sums[r], w, Simd::factor(rows[r] + 2 * pair));
    }
}

template <class Simd>
void tile(const Pointwise& conv, const PointwiseCall& call, int first_row, int first_output) {
    const int left = call.n - first_row, n_rows = left < Simd::kRows ? left : Simd::kRows;
    typename Simd::Sums sums[Simd::kRows][Simd::kSums];
    AEC_UNROLL
    for (int v = 0; v < Simd::kSums; ++v) {
        const auto start = Simd::load(conv.start + first_output + v * Simd::kLanes);
        AEC_UNROLL
        for (int r = 0; r < Simd::kRows; ++r) sums[r][v] = start;
    }
    add_products<Simd>(conv, call.in + first_row * call.in_stride, call.in_stride, n_rows, first_output, sums);
    AEC_UNROLL
    for (int r = 0; r < Simd::kRows; ++r) {
        if (r >= n_rows) continue;
        AEC_UNROLL
        for (int v = 0; v < Simd::kSums; v += 2) {
            const int channel = first_output + v * Simd::kLanes;
            int16_t* out = call.out + (first_row + r) * call.out_stride + channel;
            auto low = Simd::shift_right(sums[r][v], Simd::load(conv.shift + channel));
            auto high = Simd::shift_right(sums[r][v + 1], Simd::load(conv.shift + channel + Simd::kLanes));
            if (call.vector) {
                low = Simd::add(low, Simd::load(call.vector + channel));
                high = Simd::add(high, Simd::load(call.vector + channel + Simd::kLanes));
            }
            if (call.adds_to_out) {
                low = Simd::add(low, Simd::widen(out));
                high = Simd::add(high, Simd::widen(out + Simd::kLanes));
            }
            if (call.is_leaky) low = Simd::leaky(low), high = Simd::leaky(high);
            Simd::store(out, Simd::narrow(low, high));
        }
    }
    static_assert(Simd::kSums % 2 == 0, "stores are whole vectors");
}

template <class Simd>
void sums_tile(const Pointwise& conv, const SumsCall& call, int first_row, int first_output) {
    const int left = call.n - first_row, n_rows = left < Simd::kRows ? left : Simd::kRows;
    typename Simd::Sums sums[Simd::kRows][Simd::kSums];
    AEC_UNROLL
    for (int r = 0; r < Simd::kRows; ++r) {
        AEC_UNROLL
        for (int v = 0; v < Simd::kSums; ++v) sums[r][v] = Simd::no_sums();
    }
    add_products<Simd>(conv, call.in + first_row * call.in_stride, call.in_stride, n_rows, first_output, sums);
    AEC_UNROLL
    for (int r = 0; r < Simd::kRows; ++r) {
        if (r >= n_rows) continue;
        AEC_UNROLL
        for (int v = 0; v < Simd::kSums; ++v)
            Simd::store(call.out + (first_row + r) * call.out_stride + first_output + v * Simd::kLanes, sums[r][v]);
    }
}

// The inner loop is over positions, so that the weights of a tile of outputs stay in the first-level cache meanwhile.
template <class Simd>
void pointwise(const Pointwise& conv, const PointwiseCall& call) {
    for (int output = 0; output < conv.outputs; output += Simd::kSums * Simd::kLanes)
        for (int row = 0; row < call.n; row += Simd::kRows) tile<Simd>(conv, call, row, output);
}

template <class Simd>
void sums(const Pointwise& conv, const SumsCall& call) {
    for (int output = 0; output < conv.outputs; output += Simd::kSums * Simd::kLanes)
        for (int row = 0; row < call.n; row += Simd::kRows) sums_tile<Simd>(conv, call, row, output);
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
    const auto w = Simd::weights(factors);
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
