// The CPU kernels that the networks are made of, as a table of function pointers for each instruction set.
//
// Activations are int16 [position][channel]. Weights are packed in the order in which the kernels load them (pack.h).
// The number of output channels is padded to a multiple of kBlock; the weights, biases and shifts of the padding are 0.
#pragma once

#include "base/isa.h"
#include "engine/nets.h"

namespace aec {

constexpr int kBlock = 32;  // channels that are packed together: 64 bytes of int16, a cache line
constexpr int kTaps = 9;    // of a 3x3 convolution: tap 3 * i + j is in row i and column j

AEC_HD int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

// A 1x1 convolution. SIMD instructions such as vpmaddwd multiply two neighbouring int16 each and add the two products,
// so the input channels are packed in pairs; if their number is odd, the last pair's second weight is 0.
struct Pointwise {
    int input_pairs;
    int outputs;            // multiple of kBlock
    int used;               // outputs before the padding; kernels need not compute the others
    const int16_t* weight;  // [outputs / kBlock][input_pairs][kBlock][2]
    const int32_t* start;   // [outputs]: bias + half_of(shift)
    const int32_t* shift;   // [outputs]
};

// For each position i < n: out[i] = finish(conv(in[i]), added), where `added` is vector + out[i]. The vector, the old
// out[i] and the leaky ReLU are each optional. Strides are in elements.
struct PointwiseCall {
    const int16_t* in;
    ptrdiff_t in_stride;
    int n;
    int16_t* out;
    ptrdiff_t out_stride;
    const int32_t* vector = nullptr;  // [outputs], values in the range of int16; null: none
    bool adds_to_out = false;
    bool is_leaky = false;
};

// A depthwise 3x3 convolution: each output channel depends on the same input channel only.
struct Depthwise {
    int channels;           // multiple of kBlock
    const int16_t* weight;  // [kTaps][channels]
    const int32_t* start;
    const int32_t* shift;
};

// A depthwise convolution of n neighbouring positions of a row. The input of tap t for position i is at
// taps[t] + i * strides[t]. Beyond the picture's edge a tap points to zeros, with stride 0.
struct DepthwiseCall {
    const int16_t* taps[kTaps];
    ptrdiff_t strides[kTaps];
    int n;
    int16_t* out;
    ptrdiff_t out_stride;
};

// For each position i < n: out[i][output] = the int32 sum of products, without bias, shift and saturation.
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
    // For benchmarks: repeats the multiply-add instruction of `pointwise` on registers `rounds` times, without loading
    // or storing anything, and returns the number of multiply-adds. Its speed is an upper bound of what a thread can
    // reach. Null for plain C++, which has no such instruction.
    uint64_t (*multiply_add)(uint64_t rounds) = nullptr;

    // The functions of nets.h with the same names, applied to n channels of one position (nets_rows.h).
    void (*index_row)(const int16_t* said, int n, uint8_t* out) = nullptr;
    void (*choose_row)(const int16_t* values, const int16_t* mean, const int16_t* step, const uint8_t* index,
                       const int16_t* dead_zone, int n, int16_t* symbols) = nullptr;
    void (*reconstruct_row)(const int16_t* mean, const int16_t* symbols, const int16_t* step, int n,
                        int16_t* out) = nullptr;
    // branch[i] = branch_of(pixels[i], ..) and out[i] = shortcut_of(high[i], ..), for i < n.
    void (*branch_row)(const int16_t* pixels, const int16_t* gain, int shift, int n, int32_t* branch) = nullptr;
    void (*shortcut_row)(const int32_t* high, const int32_t* low, const int32_t* bias, int shift, int n,
                         int32_t* out) = nullptr;
    // out[i] = latent_of(sums[i] + bias[i], ..), for i < n.
    void (*latent_row)(const int32_t* sums, const int32_t* bias, const int32_t* shift, const int16_t* tail,
                       const int16_t* gain, const int32_t* gain_shift, int n, int16_t* out) = nullptr;
    // Reorders the latents of a position of the given phase. in: [steps][n], in the order of the context steps in which
    // they were coded; out: [n * steps], in the order of channels.
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
