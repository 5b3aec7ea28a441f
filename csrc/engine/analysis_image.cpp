#include "engine/analysis_image.h"

namespace aec {

AnalysisImage::AnalysisImage(std::shared_ptr<const Analysis> from)
    : TransformImage(std::move(from)), shortcut(write_.conv(transform->shortcut_)),
      gain(write_.table(transform->gain_)), gain_shift(write_.table(transform->gain_shift_)),
      branch(transform->program_, write_) {}

HyperAnalysisImage::HyperAnalysisImage(std::shared_ptr<const HyperAnalysis> from)
    : TransformImage(std::move(from)), net(transform->program_, write_) {}

}  // namespace aec
