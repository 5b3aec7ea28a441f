// The entropy networks of a model (FORMAT §7), checked and packed for the kernels of nets_kernels.h. They are not
// changed after they are made, so threads can share them.
#pragma once


#include "base/memory.h"
#include "engine/program.h"

namespace aec {

class Nets {
public:
    // tensors: the tensors of FORMAT §7 whose names begin with `entropy.`, without that prefix. Throws
    // invalid_argument, which names the tensor, if one is missing, has another type or shape, has a value out of range,
    // or if an accumulator could overflow.
    Nets(const NetsConfig& config, const Tensors& tensors);

    int group_size() const { return config.group_size(); }

    NetsConfig config;
    Vector<int16_t> step, hyper_step;  // [kQualities][latents], [kQualities][hyper]
    Vector<int16_t> group_step;        // [kQualities][steps][group_size]: step, by groups of channels
    Vector<uint8_t> hyper_index;       // [kQualities][hyper]
    PackedProgram prior;               // prior_program
    Vector<PackedProgram> steps;  // step_program, for each context step
};

}  // namespace aec
