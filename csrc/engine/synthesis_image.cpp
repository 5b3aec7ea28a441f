#include "engine/synthesis_image.h"

namespace aec {
namespace {

constexpr int kChannels = 3;

// The shortcut's outputs for one quarter of a latent's pixels. side: of a latent's square of samples.
PackedPointwise quarter_of(const PackedPointwise& from, const Vector<int32_t>& bias, int shift, int side,
                           int quarter) {
    const int part = side / 2, outputs = part * part * kChannels, padded = round_up(outputs, kBlock);
    PackedPointwise to;
    to.input_pairs = from.input_pairs;
    to.weight.assign(static_cast<size_t>(padded) * from.input_pairs * 2, 0);
    to.start.assign(padded, 0);
    to.shift.assign(padded, shift);
    const auto at = [&](int output, int pair) {
        return ((static_cast<size_t>(output / kBlock) * from.input_pairs + pair) * kBlock + output % kBlock) * 2;
    };
    for (int output = 0; output < outputs; ++output) {
        const int y = quarter / 2 * part + output / kChannels / part, x = quarter % 2 * part + output / kChannels % part;
        const int source = (y * side + x) * kChannels + output % kChannels;
        to.start[output] = bias[source];
        for (int pair = 0; pair < from.input_pairs; ++pair)
            for (int i = 0; i < 2; ++i) to.weight[at(output, pair) + i] = from.weight[at(source, pair) + i];
    }
    return to;
}

}  // namespace

SynthesisImage::SynthesisImage(std::shared_ptr<const Synthesis> from)
    : TransformImage(std::move(from)), gain(write_.table(transform->gain_)), gain_shift(transform->gain_shift_),
      branch(transform->program_, write_) {
    for (int log2 = 0; log2 <= kMaxShrinkLog2; ++log2) {
        const Synthesis::Shortcut& shortcut = transform->shortcuts_[log2];
        Vector<PackedPointwise> quarters;
        for (int quarter = 0; quarter < 4; ++quarter)
            quarters.push_back(quarter_of(shortcut.conv, shortcut.bias, transform->shortcut_shift_,
                                          kLatentStride >> log2, quarter));
        shortcuts[log2] = write_.variants(quarters);
    }
}

}  // namespace aec
