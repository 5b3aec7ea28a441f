#include "engine/program_image.h"

#include <stdexcept>

namespace aec {

ProgramImage::ProgramImage(const PackedProgram& from, ImageWriter& write) : program(from.program) {
    for (size_t i = 0; i < program.stages.size(); ++i) {
        const Stage& stage = program.stages[i];
        const PackedStage& packed = from.stages[i];
        StageImage& to = stages.emplace_back();
        if (stage.map == Map::kPhases) throw std::invalid_argument("this executor knows no phases");
        if (stage.op == Op::kDepthwise) {
            to.space = write.space(packed.depthwise);
            continue;
        }
        to.conv = write.variants(packed.pointwise,
                                 stage.map == Map::kUnshuffle2 ? program.planes[stage.in].channels : 0);
        if (packed.vectors.empty()) continue;
        to.vector = write.narrow(packed.vectors[0]);
        if (packed.vectors.size() > 1) to.vector_stride = write.narrow(packed.vectors[1]) - to.vector;
        for (size_t variant = 2; variant < packed.vectors.size(); ++variant) write.narrow(packed.vectors[variant]);
    }
}

}  // namespace aec
