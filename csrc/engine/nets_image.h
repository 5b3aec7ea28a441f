// The weights of the entropy networks, packed for the GPU, and a NetLayout, which tells where each tensor is in them.
#pragma once

#include "base/memory.h"
#include "engine/image.h"
#include "engine/nets_pack.h"

namespace aec {

struct BodyLayout {  // a Block of FORMAT §8
    Conv space_in, space_out, mix_in, mix_out;
    SpaceConv space;
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
