// Loops that apply the functions of nets.h to the channels of one position. Each file for an instruction set includes
// this, so that the compiler vectorises the loops for that instruction set. Therefore they are in an anonymous
// namespace (isa.h).
#pragma once

#include "engine/nets_kernels.h"

namespace aec {
namespace {

void index_row(const int16_t* said, int n, uint8_t* out) {
    for (int i = 0; i < n; ++i) out[i] = index_of(said[i]);
}

void choose_row(const int16_t* values, const int16_t* mean, const int16_t* step, const uint8_t* index,
                const int16_t* dead_zone, int n, int16_t* symbols) {
    for (int i = 0; i < n; ++i)
        symbols[i] = choose_symbol(values[i], mean[i], step[i], index[i], dead_zone[i]);
}

void reconstruct_row(const int16_t* mean, const int16_t* symbols, const int16_t* step, int n, int16_t* out) {
    for (int i = 0; i < n; ++i) out[i] = reconstruct(mean[i], symbols[i], step[i]);
}

void branch_row(const int16_t* pixels, const int16_t* gain, int shift, int n, int32_t* branch) {
    for (int i = 0; i < n; ++i) branch[i] = branch_of(pixels[i], gain[i], shift);
}

void shortcut_row(const int32_t* high, const int32_t* low, const int32_t* bias, int shift, int n, int32_t* out) {
    for (int i = 0; i < n; ++i) out[i] = shortcut_of(high[i], low[i], bias[i], shift);
}

void latent_row(const int32_t* sums, const int32_t* bias, const int32_t* shift, const int16_t* tail,
                const int16_t* gain, const int32_t* gain_shift, int n, int16_t* out) {
    for (int i = 0; i < n; ++i) out[i] = latent_of(sums[i] + bias[i], shift[i], tail[i], gain[i], gain_shift[i]);
}

// order_row for a number of steps that is known at compile time. n: channels in each group.
template <int kSteps>
void interleave(const int16_t* in, int n, int phase, int16_t* out) {
    const int16_t* groups[kSteps];
    for (int group = 0; group < kSteps; ++group) groups[group] = in + (group ^ phase) * n;
    for (int i = 0; i < n; ++i)
        for (int group = 0; group < kSteps; ++group) out[kSteps * i + group] = groups[group][i];
}

void order_row(const int16_t* in, int n, int steps, int phase, int16_t* out) {
    if (steps == 2)
        interleave<2>(in, n, phase, out);
    else
        interleave<4>(in, n, phase, out);
}

// The kernels of an instruction set, with these loops added.
constexpr Kernels with_rows(Kernels kernels) {
    kernels.index_row = index_row;
    kernels.choose_row = choose_row;
    kernels.reconstruct_row = reconstruct_row;
    kernels.branch_row = branch_row;
    kernels.shortcut_row = shortcut_row;
    kernels.latent_row = latent_row;
    kernels.order_row = order_row;
    return kernels;
}

}  // namespace
}  // namespace aec
