// What the networks are made of, one table of kernels for each instruction set.
//
// Activations are int16 [position][channel], weights come packed for vectors: everything has a multiple of kBlock
// channels, and the channels added to get there are zero.
#pragma once

#include "base/isa.h"
#include "engine/nets.h"

namespace aec {

constexpr int kBlock = 32;  // channels: 64 bytes of int16
constexpr int kTaps = 9;    // of a depthwise convolution

AEC_HD int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

// A 1x1 convolution. Products are summed two by two, so inputs count in pairs.
struct Pointwise {
    int input_pairs;
    int outputs;            // multiple of kBlock
    const int16_t* weight;  // [outputs / kBlock][input_pairs][kBlock][2]
    const int32_t* start;   // [outputs]: bias + half_of(shift)
    const int32_t* shift;   // [outputs]
};

// out[i] = finish of conv(in[i]) + vector + out[i], i < n, both and Leaky only if asked for.
struct PointwiseCall {
    const int16_t* in;
    ptrdiff_t in_stride;
    int n;
    int16_t* out;
    ptrdiff_t out_stride;
    const int32_t* vector = nullptr;  // [outputs], of int16
    bool adds_to_out = false;
    bool is_leaky = false;
};

// A depthwise 3x3 convolution of one row: tap t of output i is at taps[t] + i * strides[t].
struct Depthwise {
    int channels;           // multiple of kBlock
    const int16_t* weight;  // [kTaps][channels]
    const int32_t* start;
    const int32_t* shift;
};

struct DepthwiseCall {
    const int16_t* taps[kTaps];
    ptrdiff_t strides[kTaps];
    int n;
    int16_t* out;
    ptrdiff_t out_stride;
};

// out[i][output] = the sum of products alone, i < n.
struct SumsCall {
    const int16_t* in;
    ptrdiff_t in_stride;
    int n;
    int32_t* out;
    ptrdiff_t out_stride;
};

struct Kernels {
    void (*pointwise)(const Pointwise&, const PointwiseCall&);
    void (*depthwise)(const Depthwise&, const DepthwiseCall&);
    void (*sums)(const Pointwise&, const SumsCall&);
    // A loop that does nothing but multiply and add in registers, `rounds` times; returns the number of multiply-adds.
    // Timed, it is what a thread could reach at most. Null for plain C++, where there is no one instruction to time.
    uint64_t (*multiply_add)(uint64_t rounds) = nullptr;

    // nets_rows.h, over n channels of one position.
    void (*index_row)(const int16_t* said, int n, uint8_t* out) = nullptr;
    void (*choose_row)(const int16_t* values, const int16_t* mean, const int16_t* step, const uint8_t* index,
                       const int16_t* dead_zone, int n, int16_t* symbols) = nullptr;
    void (*reconstruct_row)(const int16_t* mean, const int16_t* symbols, const int16_t* step, int n,
                        int16_t* out) = nullptr;
    // branch[i] = branch_of(pixels[i]), out[i] = shortcut_of(..), i < n.
    void (*branch_row)(const int16_t* pixels, const int16_t* gain, int shift, int n, int32_t* branch) = nullptr;
    void (*shortcut_row)(const int32_t* high, const int32_t* low, const int32_t* bias, int shift, int n,
                         int32_t* out) = nullptr;
    // out[i] = latent_of(..), i < n.
    void (*latent_row)(const int32_t* sums, const int32_t* bias, const int32_t* shift, const int16_t* tail,
                       const int16_t* gain, const int32_t* gain_shift, int n, int16_t* out) = nullptr;
    // in: [steps][n], in the order of the steps at a position of this phase; out: [n][steps], in the order of channels.
    void (*order_row)(const int16_t* in, int n, int steps, int phase, int16_t* out) = nullptr;
};

const Kernels& kernels_of(Isa isa);

extern const Kernels kScalarKernels;
#if defined(__SSE2__) || defined(__wasm_simd128__)
extern const Kernels kSimd128Kernels;
#endif
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels, kAvx512Kernels;
#elif defined(__aarch64__)
extern const Kernels kNeonKernels;
#endif

}  // namespace aec
