#include "engine/image.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace aec {
namespace {

constexpr int kColumns = 8, kPairColumns = 2 * kColumns;  // of the tensor cores' operand B (mma.cuh)
constexpr int kLaneChannels = 8;                          // input channels whose weights a thread loads
constexpr size_t kAlignment = 256;

int16_t weight_of(const PackedPointwise& from, int output, int input) {
    const size_t pair = static_cast<size_t>(output / kBlock) * from.input_pairs + input / 2;
    return from.weight[(pair * kBlock + output % kBlock) * 2 + input % 2];
}

}  // namespace

Conv ImageWriter::variants(const Vector<PackedPointwise>& from, int group) {
    const bool narrow = std::all_of(from.begin(), from.end(), [](const PackedPointwise& variant) {
        return std::all_of(variant.weight.begin(), variant.weight.end(), [](int w) { return -128 <= w && w < 128; });
    });
    Conv all = variant(from[0], group, narrow), last = all;
    for (size_t i = 1; i < from.size(); ++i) last = variant(from[i], group, narrow);
    if (from.size() > 1) all.stride = (last.weights - all.weights) / static_cast<uint32_t>(from.size() - 1);
    return all;
}

Conv ImageWriter::variant(const PackedPointwise& from, int group, bool narrow) {
    const int inputs = 2 * from.input_pairs;
    if (group == 0) group = inputs;
    const int padded = round_up(group, kDepth);
    Conv conv;
    conv.narrow = narrow;
    conv.k_steps = (inputs / group) * (padded / kDepth);
    conv.pairs = static_cast<int>(from.shift.size()) / kPairColumns;
    conv.weights = take(static_cast<size_t>(conv.pairs) * kPairColumns * conv.k_steps * kDepth * (narrow ? 1 : 2));
    for (int output = 0; output < conv.pairs * kPairColumns; ++output)
        for (int input = 0; input < inputs; ++input)
            set_weight(conv, output, input / group * padded + input % group, weight_of(from, output, input));
    conv.constants = constants(from.start, from.shift);
    return conv;
}

SpaceConv ImageWriter::space(const PackedDepthwise& from) {
    const uint32_t weights = table(from.weight);
    return {weights, constants(from.start, from.shift)};
}

uint32_t ImageWriter::constants(const Vector<int32_t>& start, const Vector<int32_t>& shift) {
    Vector<Constants> both(start.size());
    for (size_t i = 0; i < both.size(); ++i) both[i] = {start[i], shift[i]};
    return table(both);
}

uint32_t ImageWriter::narrow(const QualityTable& from) {
    return table(Vector<int16_t>(from.values.begin(), from.values.end()));
}

uint32_t ImageWriter::append(const void* data, size_t n) {
    const uint32_t at = take(n);
    std::memcpy(bytes_.data() + at, data, n);
    return at;
}

uint32_t ImageWriter::take(size_t n) {
    const size_t at = bytes_.size();
    if (at + n > UINT32_MAX) throw std::invalid_argument("networks of more than 4 GB do not fit a GPU's image");
    bytes_.resize((at + n + kAlignment - 1) / kAlignment * kAlignment);
    return static_cast<uint32_t>(at);
}

void ImageWriter::set_weight(const Conv& conv, int output, int input, int16_t weight) {
    const size_t step = static_cast<size_t>(output / kPairColumns) * conv.k_steps + input / kDepth;
    const size_t tile = output % kPairColumns / kColumns, lane = output % kColumns * 4 + input % kDepth / kLaneChannels;
    uint8_t* const to = bytes_.data() + conv.weights + input % kLaneChannels;
    if (conv.narrow) {
        to[((step * 32 + lane) * 2 + tile) * kLaneChannels] = static_cast<uint8_t>(weight & 0xFF);
        return;
    }
    const size_t place = ((step * 2 + tile) * 32 + lane) * 2 * kLaneChannels;
    to[place] = static_cast<uint8_t>(static_cast<uint16_t>(weight) >> 8);
    to[place + kLaneChannels] = static_cast<uint8_t>(weight & 0xFF);
}

}  // namespace aec
