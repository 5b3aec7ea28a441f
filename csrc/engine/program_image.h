// The weights of a program (program.h), packed for the GPU.
#pragma once

#include "engine/image.h"

namespace aec {

struct ProgramImage {
    // Throws invalid_argument if the program has positions of several phases, which only the entropy networks have, or
    // as ImageWriter does.
    ProgramImage(const PackedProgram& from, ImageWriter& write);

    // What a stage has, as offsets.
    struct StageImage {
        Conv conv;  // with its variants, if the stage is an upsampling
        SpaceConv space;
        uint32_t vector = 0, vector_stride = 0;  // int16 [kQualities][16 * conv.pairs], for each variant
    };

    Program program;
    std::vector<StageImage> stages;  // for each stage of the program
};

// The channels of a plane in device memory.
inline int padded_channels(const Plane& plane) { return round_up(plane.channels, kDepth); }

}  // namespace aec
