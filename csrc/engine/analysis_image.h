// The weights of an encoder's transforms (analysis.h), packed for the GPU.
#pragma once

#include "engine/analysis.h"
#include "engine/program_image.h"

namespace aec {

class AnalysisImage : public TransformImage<Analysis> {
public:
    explicit AnalysisImage(std::shared_ptr<const Analysis> from);  // throws invalid_argument above 4 GB

    Conv shortcut;              // reads [2][2][8 rows][8 columns][3]: four positions of the branch's input
    uint32_t gain, gain_shift;  // int16 [kQualities][latents], int32 [latents]
    ProgramImage branch;
};

class HyperAnalysisImage : public TransformImage<HyperAnalysis> {
public:
    explicit HyperAnalysisImage(std::shared_ptr<const HyperAnalysis> from);  // throws invalid_argument above 4 GB

    ProgramImage net;
};

}  // namespace aec
