// A model's entropy nets (FORMAT §7), checked and laid out for the kernels of nets_kernels.h. Immutable.
#pragma once

#include <vector>

#include "engine/program.h"

namespace aec {

class Nets {
public:
    // tensors: those of FORMAT §7 named `entropy.*`, without that prefix. Throws invalid_argument, naming the tensor that
    // is missing, of another type or shape, or out of range; so is one whose accumulator could overflow.
    Nets(const NetsConfig& config, const Tensors& tensors);

    int group_size() const { return config.group_size(); }

    NetsConfig config;
    std::vector<int16_t> step, hyper_step;  // [kQualities][latents], [kQualities][hyper]
    std::vector<uint8_t> hyper_index;       // [kQualities][hyper]
    PackedProgram prior;
    std::vector<PackedProgram> steps;
};

}  // namespace aec
