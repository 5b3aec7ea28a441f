// A model's entropy nets (FORMAT §7), checked and laid out for the kernels of nets_kernels.h. Immutable.
#pragma once

#include <array>
#include <vector>

#include "engine/pack.h"

namespace aec {

struct NetsConfig {
    int latents, hyper, context, steps;
};

// What follows from FORMAT §8 for a position of a given phase, whose latents of step j belong to the channels of group
// j xor phase. Memory holds a position's latents step by step, so the weights' columns are put in that order too.
struct PackedPhase {
    PackedPointwise from_latents;  // inputs: those of the steps before
    PackedPointwise heads;         // outputs: this step's means, then their indexes
    QualityTable heads_quality;    // 0 for the means
};

struct PackedStep {
    PackedPointwise from_hyper;
    QualityTable quality;
    PackedBlock body;
    std::array<PackedPhase, kMaxSteps> phases;
};

class Nets {
public:
    // tensors: those of FORMAT §7 named `entropy.*`, without that prefix. Throws invalid_argument, naming the tensor that
    // is missing, of another type or shape, or out of range; so is one whose accumulator could overflow.
    Nets(const NetsConfig& config, const Tensors& tensors);

    int group_size() const { return config.latents / config.steps; }

    NetsConfig config;
    std::vector<int16_t> step, hyper_step;  // [kQualities][latents], [kQualities][hyper]
    std::vector<uint8_t> hyper_index;       // [kQualities][hyper]
    PackedPointwise head;
    QualityTable quality;
    PackedBlock body4, body2, body1;
    std::array<PackedPointwise, 4> up2, up1;  // with their Shuffle: number 2i + j is what goes to (2y + i, 2x + j)
    std::array<PackedStep, kMaxSteps> steps;
};

}  // namespace aec
