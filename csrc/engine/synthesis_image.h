// The weights of the synthesis (synthesis.h), packed for the GPU.
#pragma once

#include "engine/program_image.h"
#include "engine/synthesis.h"

namespace aec {

class SynthesisImage : public TransformImage<Synthesis> {
public:
    explicit SynthesisImage(std::shared_ptr<const Synthesis> from);  // throws invalid_argument above 4 GB

    // By shrink_log2. There is a variant for each quarter 2i + j of a latent's 16x16 pixels, because the pixels of a
    // quarter are those of one position of the branch's output. Outputs: [rows][columns][3] of the quarter.
    Conv shortcuts[kMaxShrinkLog2 + 1];
    uint32_t gain;  // int16 [kQualities][8 rows][8 columns][3]
    int gain_shift;
    ProgramImage branch;
};

}  // namespace aec
