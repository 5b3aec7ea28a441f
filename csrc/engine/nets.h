// The entropy nets' arithmetic (FORMAT §8): every rule that decides an integer, once, for g++ and for nvcc.
//
// Between the operations all is int16 in units of 2^-12. Sums are int32 and added in any order: for every model that is
// loaded it is proved that not even the sum of the magnitudes, bias and rounding included, reaches 2^31.
#pragma once

#include "rans/rans.h"

namespace aec {

constexpr int kFractionBits = 12;
constexpr int kLeakBits = 3;    // slope 2^-3 below zero
constexpr int kMaxShift = 15;
constexpr int kQualities = 100;
constexpr int kHyperStride = 4;  // latents per hyperlatent, each way
constexpr int kMaxSteps = 4;

AEC_HD int16_t saturate(int32_t x) { return static_cast<int16_t>(x < -32768 ? -32768 : x > 32767 ? 32767 : x); }

// What a convolution adds before it shifts, so that >> rounds to nearest, halves up.
AEC_HD int32_t half_of(int shift) { return shift > 0 ? 1 << (shift - 1) : 0; }

// sum: of products, bias and half_of(shift).
AEC_HD int16_t rescale(int32_t sum, int shift) { return saturate(sum >> shift); }

AEC_HD int16_t leaky(int16_t x) { return static_cast<int16_t>(x >= 0 ? x : x >> kLeakBits); }

AEC_HD int16_t add(int16_t a, int16_t b) { return saturate(static_cast<int32_t>(a) + b); }

// From Add(index_k(t), index_quality_k), which is in units of 8 indexes.
AEC_HD uint8_t index_of(int16_t x) {
    const int32_t index = (x * 8 + (1 << (kFractionBits - 1))) >> kFractionBits;
    return static_cast<uint8_t>(index < 0 ? 0 : index >= kIndexCount ? kIndexCount - 1 : index);
}

// |symbol * step| < 2^30.
AEC_HD int16_t reconstruct(int16_t mean, int16_t symbol, int16_t step) {
    return saturate(mean + static_cast<int32_t>(symbol) * step);
}

AEC_HD float to_float(int16_t latent) { return latent * (1.0f / (1 << kFractionBits)); }

// In which step a latent is read: its channel's group, c mod steps, xor its position's phase. steps is 2 or 4.
AEC_HD int phase_of(int y, int x, int steps) {
    const int odd = (y ^ x) & 1;
    return steps == 2 ? odd : 2 * odd + (y & 1);
}
AEC_HD int step_of(int channel, int y, int x, int steps) { return (channel & (steps - 1)) ^ phase_of(y, x, steps); }

// ------------------------------------------------------------------------------------------------ the encoder's choice

// Halves to even, for |x| < 2^22: float's precision at 1.5 * 2^23 is 1, and numbers are rounded to nearest (the mode that
// every process starts in; only the encoder's choice depends on it).
AEC_HD float round_even(float x) { return (x + 12582912.0f) - 12582912.0f; }

// NaN, which no file can express, becomes 0. Scaling by a power of two is exact. Products with a condition instead of
// branches here and below, so that compilers make vectors of them.
AEC_HD int16_t to_fixed(float x) {
    float scaled = x * (1 << kFractionBits);
    scaled = scaled > -32768.0f ? scaled : -32768.0f;
    scaled = scaled < 32767.0f ? scaled : 32767.0f;
    return static_cast<int16_t>(static_cast<int32_t>(round_even(scaled)) * (x == x));
}

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
