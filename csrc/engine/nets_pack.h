// A model's entropy nets (FORMAT §7), checked and laid out for the kernels of nets_kernels.h. Immutable.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "engine/nets_kernels.h"

namespace aec {

// One tensor of a model file; the data need live only as long as the constructor of Nets runs.
struct Tensor {
    enum Type { kInt16, kInt32, kUint8 };
    Type type;
    std::vector<int64_t> shape;
    const void* data;
};
using Tensors = std::map<std::string, Tensor>;

struct NetsConfig {
    int latents, hyper, context, steps;
};

class PackedPointwise {
public:
    Pointwise view() const {
        return {input_pairs, static_cast<int>(shift.size()), weight.data(), start.data(), shift.data()};
    }
    int input_pairs = 0;
    std::vector<int16_t> weight;
    std::vector<int32_t> start, shift;
};

class PackedDepthwise {
public:
    Depthwise view() const { return {static_cast<int>(shift.size()), weight.data(), start.data(), shift.data()}; }
    std::vector<int16_t> weight;
    std::vector<int32_t> start, shift;
};

struct PackedBlock {
    PackedPointwise space_in, space_out, mix_in, mix_out;
    PackedDepthwise space;
};

// A row of int16 for each quality.
class QualityTable {
public:
    const int16_t* row(int quality) const { return values.data() + (quality - 1) * channels; }
    int channels = 0;
    std::vector<int16_t> values;
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
