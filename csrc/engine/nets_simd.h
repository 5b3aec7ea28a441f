// The kernels for vectors, once; nets_simd128.cpp, nets_avx2.cpp, nets_avx512.cpp and nets_neon.cpp say what a vector is.
//
// A Simd has
//   Sums, Values          vectors of kLanes int32 and of 2 * kLanes int16
//   kRows, kSums          shape of the register tile of `pointwise`: positions x Sums; kSums is even
//   Weights, weights(p)   two inputs' weights for kSums * kLanes outputs, from [outputs][2]
//   Factor, factor(p)     the two inputs at p, for all outputs
//   multiply_add(sums, weights, factor)    sums[kSums] += weights * factor
//   tap_pair(low, high, x0, x1, w0, w1)    low, high += x0 * w0 + x1 * w1, in an order of channels of its own,
//   split(low, high)                       into which this brings two vectors of consecutive channels,
//   join(low, high)                        and which this, saturating, ends
//   narrow(a, b)          int16, saturated, of two vectors of consecutive channels
//   widen(p)              Sums of kLanes int16 at p
//   shift_right(sums, counts), add, leaky (of Sums), no_sums, zero (of Values), load, store
//   keep(sums or factor)  the compiler must believe that it is read and changed
//
// In an anonymous namespace, and without the standard library: isa.h says why.
#pragma once

#include "engine/nets_rows.h"

namespace aec {
namespace {

// The loops over a tile's registers must unroll, or the sums live in memory.
#define AEC_UNROLL _Pragma("GCC unroll 16")

// Adds the products of a tile of positions and outputs to its sums. Rows beyond the last compute what the last does. Always
// inline: else the sums live in memory.
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

// Rows are the inner loop: a tile's weights stay in the first-level cache while all rows pass by.
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
                const int other = t + 1 < kTaps ? t + 1 : t;  // the tenth tap has weight 0
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
            Simd::keep(x);  // or products would be taken out of the loop
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
