// The networks' arithmetic (FORMAT §8): every rule that decides an integer, once, for g++ and for nvcc.
//
// What is stored is int16; the entropy nets' is in units of 2^-12. Sums are int32 and added in any order: for every model
// that is loaded it is proved that the sum of the magnitudes, bias and rounding included, stays below 2^31 - 2^17. So
// what is added after the shift, a quality vector and a stored tensor, cannot overflow either.
#pragma once

#include "rans/rans.h"

namespace aec {

constexpr int kFractionBits = 12;
constexpr int kLeakBits = 3, kLeakHalf = 1 << kLeakBits >> 1;  // slope 2^-3 below zero
constexpr int kMaxShift = 20;
constexpr int64_t kAccumulatorLimit = (int64_t{1} << 31) - (1 << 17);
constexpr int kQualities = 100;
constexpr int kHyperStride = 4;  // latents per hyperlatent, each way
constexpr int kMaxSteps = 4;

AEC_HD int16_t saturate(int32_t x) { return static_cast<int16_t>(x < -32768 ? -32768 : x > 32767 ? 32767 : x); }

// What a convolution adds before it shifts, so that >> rounds to nearest, halves up.
AEC_HD int32_t half_of(int shift) { return shift > 0 ? 1 << (shift - 1) : 0; }

// To the nearest: rounding down would shift what passes through many layers.
AEC_HD int32_t leaky(int32_t x) { return x >= 0 ? x : (x + kLeakHalf) >> kLeakBits; }

// What one stage stores. sum: of products, bias and half_of(shift); added: the vector and what was stored, or 0.
AEC_HD int16_t finish(int32_t sum, int shift, int32_t added, bool is_leaky) {
    const int32_t x = (sum >> shift) + added;
    return saturate(is_leaky ? leaky(x) : x);
}

// From index_k(t) + index_quality_k, which is in units of 8 indexes.
AEC_HD uint8_t index_of(int16_t x) {
    const int32_t index = (x * 8 + (1 << (kFractionBits - 1))) >> kFractionBits;
    return static_cast<uint8_t>(index < 0 ? 0 : index >= kIndexCount ? kIndexCount - 1 : index);
}

// |symbol * step| < 2^30.
AEC_HD int16_t reconstruct(int16_t mean, int16_t symbol, int16_t step) {
    return saturate(mean + static_cast<int32_t>(symbol) * step);
}

// ------------------------------------------------------------------------------------------------------------- pixels

constexpr int kPixelBits = 10;  // pixels are made in units of 2^-10 of a level of 8 bits
constexpr int32_t kWhite = 255 << kPixelBits;

AEC_HD int32_t clamp(int32_t x, int32_t low, int32_t high) { return x < low ? low : x > high ? high : x; }

AEC_HD int32_t bounded(int32_t x) { return clamp(x, -(1 << 23), 1 << 23); }

// high, low: the sums of products with latents div 256 and mod 256; bias: with half_of(shift).
AEC_HD int32_t shortcut_of(int32_t high, int32_t low, int32_t bias, int shift) {
    return bounded((high + (low >> 8) + bias) >> shift);
}

constexpr int kMaxGainShift = 30;

// shift: 1 to kMaxGainShift.
AEC_HD int32_t branch_of(int16_t pixel, int32_t gain, int shift) {
    return bounded((gain * pixel + half_of(shift)) >> shift);
}

// The mean of n = 2^(2 * log2) numbers, given their sum.
AEC_HD int32_t mean_of(int32_t sum, int log2) { return (sum + (1 << (2 * log2) >> 1)) >> (2 * log2); }

// A pixel's sample of 8 or 16 bits.
AEC_HD int32_t sample_of(int32_t x, int scale) { return (scale * clamp(x, 0, kWhite) + (1 << (kPixelBits - 1))) >> kPixelBits; }

// The same of a gray pixel, given the sum of its three channels.
AEC_HD int32_t gray_sample_of(int32_t sum, int scale) {
    return (scale * clamp(sum, 0, 3 * kWhite) + (3 << (kPixelBits - 1))) / (3 << kPixelBits);
}

// In which step a latent is read: its channel's group, c mod steps, xor its position's phase. steps is 2 or 4.
AEC_HD int phase_of(int y, int x, int steps) {
    const int odd = (y ^ x) & 1;
    return steps == 2 ? odd : 2 * odd + (y & 1);
}
AEC_HD int step_of(int channel, int y, int x, int steps) { return (channel & (steps - 1)) ^ phase_of(y, x, steps); }

// ------------------------------------------------------------------------------------------------------------ encoders

constexpr int kLatentBits = 4;  // by which sums are finer than latents

// sum: of products with pixels, and bias with half_of(shift); tail: what the branch says.
AEC_HD int16_t latent_of(int32_t sum, int shift, int16_t tail, int32_t gain, int gain_shift) {
    return saturate((bounded(sum >> shift) + branch_of(tail, gain, gain_shift) + half_of(kLatentBits)) >> kLatentBits);
}

// Halves to even, for |x| < 2^22: float's precision at 1.5 * 2^23 is 1, and numbers are rounded to nearest (the mode that
// every process starts in; only the encoder's choice depends on it).
AEC_HD float round_even(float x) { return (x + 12582912.0f) - 12582912.0f; }

// Products with a condition instead of branches, so that compilers make vectors of them.
//
// The integer nearest to v = (fixed - mean) / step, halves to even; but 0 up to |v| = 0.5 + dead_zone, which is in units
// of 2^-12, 0 or more. A dead zone of 0 changes nothing: what it makes 0 is 0 already.
// The division is exact in float: the quotient is below 2^17 / step, so its rounding error is below 2^-7 / step, but a
// quotient that is no half is at least 1 / (2 * step) away from the nearest. The comparison is of integers below 2^31.
AEC_HD int16_t choose_symbol(int16_t fixed, int16_t mean, int16_t step, uint8_t index, int16_t dead_zone) {
    const int32_t difference = fixed - mean, magnitude = difference < 0 ? -difference : difference;
    const int32_t rounded =
        static_cast<int32_t>(round_even(static_cast<float>(difference) / static_cast<float>(step)));
    const int32_t symbol = rounded < -kMaxSymbol ? -kMaxSymbol : rounded > kMaxSymbol ? kMaxSymbol : rounded;
    constexpr int32_t kUnit = 1 << kFractionBits;
    return static_cast<int16_t>(symbol * ((index > 0) & (magnitude * kUnit > step * (kUnit / 2 + dead_zone))));
}

}  // namespace aec
