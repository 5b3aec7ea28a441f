// The entropy nets as the GPU reads them: one block of bytes, made once on the host and copied to the device, and a
// NetLayout of where in it everything is. Neither holds a pointer.
#pragma once

#include "engine/nets_pack.h"

namespace aec {

struct Constants {  // of one output channel
    int32_t start, shift;
};

// A 1x1 convolution. weights: [pairs][k_steps][2][32] Quad, what the threads of a warp load (mma.cuh) for 2 times 8
// output and 32 input channels; constants: [16 * pairs] Constants. Both are offsets in bytes. Variants, for each phase
// or for each quarter of an upsampling, follow `stride` bytes apart.
struct Conv {
    uint32_t weights = 0, constants = 0, stride = 0;
    int k_steps = 0, pairs = 0;
};

AEC_HD Conv variant_of(Conv conv, int i) {
    conv.weights += i * conv.stride;
    conv.constants += i * conv.stride;
    return conv;
}

struct BodyLayout {
    Conv space_in, space_out, mix_in, mix_out;
    uint32_t space_weights = 0, space_constants = 0;  // int16 [9][width], Constants [width]
};

struct StepLayout {
    Conv from_hyper, from_latents, heads;  // the latter two for each phase, as in step_program
    BodyLayout body;
    uint32_t quality = 0, heads_quality = 0, heads_quality_stride = 0;  // int16 [100][channels]
};

struct NetLayout {
    NetsConfig config;
    int width, wide, hyper, latents, heads;  // channels in memory, padded: context, 2 * context, hyper, latents, heads
    Conv head, up[2];      // up2, up1
    BodyLayout bodies[3];  // body4, body2, body1
    StepLayout steps[kMaxSteps];
    uint32_t quality, hyper_index, hyper_step, step;  // [100][channels]; not padded but for `quality`
};

struct NetImage {
    explicit NetImage(const Nets& nets);  // throws invalid_argument above 4 GB

    NetLayout layout;
    std::vector<uint8_t> bytes;
};

}  // namespace aec
