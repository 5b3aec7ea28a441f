// The weights of the entropy networks, packed for the GPU: one array of bytes, which is made once on the host and
// copied to the device, and a NetLayout, which tells the offset of each tensor in it. Neither holds a pointer.
#pragma once

#include "base/memory.h"
#include "engine/nets_pack.h"

namespace aec {

struct Constants {  // of one output channel: its bias plus half_of(shift), and its shift
    int32_t start, shift;
};

// A 1x1 convolution. Its output channels are divided into pairs of tiles of 8 channels, and its input channels into k
// steps of 32. weights: [pairs][k_steps][2 tiles][32 threads] Quad: what each thread of a warp loads for operand B
// (mma.cuh). constants: [16 * pairs] Constants. Both are offsets in bytes. A convolution with several variants, one for
// each phase or for each quarter of an upsampling, has them `stride` bytes apart.
struct Conv {
    uint32_t weights = 0, constants = 0, stride = 0;
    int k_steps = 0, pairs = 0;
};

// Variant i of a convolution.
AEC_HD Conv variant_of(Conv conv, int i) {
    conv.weights += i * conv.stride;
    conv.constants += i * conv.stride;
    return conv;
}

struct BodyLayout {  // a Block of FORMAT §8
    Conv space_in, space_out, mix_in, mix_out;
    uint32_t space_weights = 0, space_constants = 0;  // int16 [9][width], Constants [width]
};

struct StepLayout {
    Conv from_hyper, from_latents, heads;  // the last two have a variant for each phase, as in step_program
    BodyLayout body;
    uint32_t quality = 0, heads_quality = 0, heads_quality_stride = 0;  // int16 [100][channels]
};

struct NetLayout {
    NetsConfig config;
    // Numbers of channels, padded to multiples of 32: context, 2 * context, hyper, latents, 2 * group_size.
    int width, wide, hyper, latents, heads;
    Conv head, up[2];      // up[0] is up2, up[1] is up1
    BodyLayout bodies[3];  // body4, body2, body1
    StepLayout steps[kMaxSteps];
    uint32_t quality, hyper_index, hyper_step, step;  // [100][channels]; only the channels of `quality` are padded
};

struct NetImage {
    explicit NetImage(const Nets& nets);  // throws invalid_argument above 4 GB

    NetLayout layout;
    Vector<uint8_t> bytes;
};

}  // namespace aec
