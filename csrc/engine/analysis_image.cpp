#include "engine/analysis_image.h"

namespace aec {

AnalysisImage::AnalysisImage(std::shared_ptr<const Analysis> from)
    : analysis(std::move(from)), shortcut(write_.conv(analysis->shortcut_)), gain(write_.table(analysis->gain_)),
      gain_shift(write_.table(analysis->gain_shift_)), branch(analysis->program_, write_) {}

HyperAnalysisImage::HyperAnalysisImage(std::shared_ptr<const HyperAnalysis> from)
    : analysis(std::move(from)), net(analysis->program_, write_) {}

}  // namespace aec
