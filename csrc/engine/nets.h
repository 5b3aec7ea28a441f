// The arithmetic of the networks on single integers (FORMAT §8): saturation, rounding, activation, quantisation. Each
// rule is written here once, and both g++ and nvcc compile it. The convolutions are in nets_simd.h, nets_scalar.cpp and
// convolve.cuh.
//
// Activations (the tensors between the layers) are int16; in the entropy networks they are fixed point with 12
// fractional bits. Accumulators are int32. A model is loaded only if, for every output channel, the sum of the
// magnitudes of all products, the bias and the rounding constant stays below 2^31 - 2^17 (read_conv in pack.h; the
// synthesis's shortcut has a check of its own, in synthesis.cpp). So accumulators cannot overflow in whatever order
// products are added. The 2^17 leave room for the two int16 numbers that may be added after the shift: a quality vector
// and the activation that the result replaces (a skip connection).
#pragma once

#include "rans/rans.h"

namespace aec {

constexpr int kFractionBits = 12;
constexpr int kLeakBits = 3, kLeakHalf = 1 << kLeakBits >> 1;  // leaky ReLU with slope 2^-3 below zero
constexpr int kMaxShift = 20;
constexpr int64_t kAccumulatorLimit = (int64_t{1} << 31) - (1 << 17);
constexpr int kQualities = 100;
constexpr float kMaxLevel = 120;  // each quality has a level, 1 to this; a model's rise with the qualities
constexpr int kHyperStride = 4;  // a hyperlatent stands for 4x4 positions of latents
constexpr int kMaxSteps = 4;

AEC_HD int16_t saturate(int32_t x) { return static_cast<int16_t>(x < -32768 ? -32768 : x > 32767 ? 32767 : x); }

// The rounding constant that is added before a right shift, so that the shift rounds to the nearest integer, and halves
// up.
AEC_HD int32_t half_of(int shift) { return shift > 0 ? 1 << (shift - 1) : 0; }

// The leaky ReLU, rounded to the nearest integer. Rounding down would make negative activations too small by half a
// unit on average, and over many layers these errors would add up.
AEC_HD int32_t leaky(int32_t x) { return x >= 0 ? x : (x + kLeakHalf) >> kLeakBits; }

// The activation that a stage stores. sum: products, bias and half_of(shift). added: the quality vector's number and
// the activation that is replaced, or 0 for each that the stage does not add.
AEC_HD int16_t finish(int32_t sum, int shift, int32_t added, bool is_leaky) {
    const int32_t x = (sum >> shift) + added;
    return saturate(is_leaky ? leaky(x) : x);
}

// The index of a CDF table. x: index_k(t) + index_quality_k of FORMAT §8, with 12 fractional bits, where 1.0 stands for
// 8 indexes. So the range of int16, -8.0 to 8.0, covers all 64 indexes.
AEC_HD uint8_t index_of(int16_t x) {
    const int32_t index = (x * 8 + (1 << (kFractionBits - 1))) >> kFractionBits;
    return static_cast<uint8_t>(index < 0 ? 0 : index >= kIndexCount ? kIndexCount - 1 : index);
}

// The latent that a decoder gets. It does not overflow, since |symbol * step| <= 2^15 * 2^15 = 2^30.
AEC_HD int16_t reconstruct(int16_t mean, int16_t symbol, int16_t step) {
    return saturate(mean + static_cast<int32_t>(symbol) * step);
}

// ------------------------------------------------------------------------------------------------------------- pixels

constexpr int kPixelBits = 10;  // pixels are computed in units of 2^-10 of a level of an 8-bit sample
constexpr int32_t kWhite = 255 << kPixelBits;

AEC_HD int32_t clamp(int32_t x, int32_t low, int32_t high) { return x < low ? low : x > high ? high : x; }

AEC_HD int32_t bounded(int32_t x) { return clamp(x, -(1 << 23), 1 << 23); }

// The shortcut's part of a pixel. Its weights are so large that 32-bit sums of products with whole latents could
// overflow, so there are two sums: high, of products with latent >> 8, and low, of products with latent & 255. bias
// includes half_of(shift).
AEC_HD int32_t shortcut_of(int32_t high, int32_t low, int32_t bias, int shift) {
    return bounded((high + (low >> 8) + bias) >> shift);
}

constexpr int kMaxGainShift = 30;

// The branch's part of a pixel. pixel: the output of its network; gain: int16, depends on the quality and the channel;
// shift: 1 to kMaxGainShift.
AEC_HD int32_t branch_of(int16_t pixel, int32_t gain, int shift) {
    return bounded((gain * pixel + half_of(shift)) >> shift);
}

// The mean of a square of 2^log2 x 2^log2 numbers, given their sum, rounded to the nearest integer.
AEC_HD int32_t mean_of(int32_t sum, int log2) { return (sum + (1 << (2 * log2) >> 1)) >> (2 * log2); }

// A sample of 8 bits (scale 1) or 16 bits (scale 257) from x, in units of 2^-10 of a level of 8 bits.
AEC_HD int32_t sample_of(int32_t x, int scale) { return (scale * clamp(x, 0, kWhite) + (1 << (kPixelBits - 1))) >> kPixelBits; }

// The sample of a gray pixel, given the sum of its three channels.
AEC_HD int32_t gray_sample_of(int32_t sum, int scale) {
    return (scale * clamp(sum, 0, 3 * kWhite) + (3 << (kPixelBits - 1))) / (3 << kPixelBits);
}

// Latents are coded in 2 or 4 context steps, so that later latents can be predicted from earlier ones. The step of a
// latent is the group of its channel (channel mod steps) xor the phase of its position. The phase alternates like a
// checkerboard (2 steps) or within each 2x2 square (4 steps), so that in every step each position has one group of
// channels coded, and neighbouring positions have different ones.
AEC_HD int phase_of(int y, int x, int steps) {
    const int odd = (y ^ x) & 1;
    return steps == 2 ? odd : 2 * odd + (y & 1);
}
AEC_HD int step_of(int channel, int y, int x, int steps) { return (channel & (steps - 1)) ^ phase_of(y, x, steps); }

// ------------------------------------------------------------------------------------------------------------ encoders

constexpr int kLatentBits = 4;  // an encoder computes latents with this many more fractional bits than they keep

// A latent from the analysis. sum: the shortcut's products with pixels, its bias and half_of(shift). tail: the output
// of the branch, which is scaled by gain / 2^gain_shift.
AEC_HD int16_t latent_of(int32_t sum, int shift, int16_t tail, int32_t gain, int gain_shift) {
    return saturate((bounded(sum >> shift) + branch_of(tail, gain, gain_shift) + half_of(kLatentBits)) >> kLatentBits);
}

// Rounds to the nearest integer, and halves to the even one, for |x| < 2^22. 12582912 is 1.5 * 2^23, and floats near it
// are spaced 1 apart, so the addition rounds. This relies on the default rounding mode of float arithmetic, to nearest.
// Only an encoder's choice of symbols depends on it, and no decoder.
AEC_HD float round_even(float x) { return (x + 12582912.0f) - 12582912.0f; }

// Quantises a latent: returns the integer nearest to v = (fixed - mean) / step, halves to even, within +-kMaxSymbol;
// but 0 if |v| <= 0.5 + dead_zone, or if the index is 0. dead_zone is in units of 2^-12 and at least 0. With a dead
// zone of 0 the result is the nearest integer, since |v| <= 0.5 rounds to 0 anyway.
//
// The float division does not change the result. fixed - mean and step are exact as floats, and |v| < 2^17 / step, so
// the quotient's rounding error is below 2^-7 / step. But unless v is exactly halfway between two integers, it is at
// least 1 / (2 * step) away from every such point. The comparison with the dead zone is in integers, and both sides are
// below 2^31. The condition is a factor of 0 or 1 instead of a branch, so that compilers can vectorise loops over this
// function.
AEC_HD int16_t choose_symbol(int16_t fixed, int16_t mean, int16_t step, uint8_t index, int16_t dead_zone) {
    const int32_t difference = fixed - mean, magnitude = difference < 0 ? -difference : difference;
    const int32_t rounded =
        static_cast<int32_t>(round_even(static_cast<float>(difference) / static_cast<float>(step)));
    const int32_t symbol = rounded < -kMaxSymbol ? -kMaxSymbol : rounded > kMaxSymbol ? kMaxSymbol : rounded;
    constexpr int32_t kUnit = 1 << kFractionBits;
    return static_cast<int16_t>(symbol * ((index > 0) & (magnitude * kUnit > step * (kUnit / 2 + dead_zone))));
}

}  // namespace aec
