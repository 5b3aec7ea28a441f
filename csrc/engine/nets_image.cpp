#include "engine/nets_image.h"

#include <cstring>
#include <stdexcept>
#include <string>

namespace aec {
namespace {

constexpr int kDepth = 32, kColumns = 8, kPairColumns = 2 * kColumns;  // of the tensor cores' operand B (mma.cuh)
constexpr int kLaneChannels = 8;                                       // input channels whose weights a thread loads
constexpr size_t kAlignment = 256;

// Appends tensors to the bytes, and returns their offsets.
class Writer {
public:
    explicit Writer(Vector<uint8_t>& bytes) : bytes_(bytes) {}

    Conv conv(const PackedPointwise& from) {
        Conv conv;
        conv.k_steps = round_up(2 * from.input_pairs, kDepth) / kDepth;
        conv.pairs = static_cast<int>(from.shift.size()) / kPairColumns;
        conv.weights = take(static_cast<size_t>(conv.pairs) * kPairColumns * conv.k_steps * kDepth * sizeof(int16_t));
        for (int output = 0; output < conv.pairs * kPairColumns; ++output)
            for (int input = 0; input < 2 * from.input_pairs; ++input)
                set_weight(conv, output, input, weight_of(from, output, input));
        conv.constants = constants(from.start, from.shift);
        return conv;
    }

    Conv variants(const Vector<PackedPointwise>& from) {
        Conv all = conv(from[0]), last = all;
        for (size_t i = 1; i < from.size(); ++i) last = conv(from[i]);
        if (from.size() > 1) all.stride = (last.weights - all.weights) / static_cast<uint32_t>(from.size() - 1);
        return all;
    }

    // The weights of the Block with this name.
    BodyLayout body(const PackedProgram& from, const std::string& name) {
        BodyLayout body;
        body.space_in = variants(from.at(name + ".space_in").pointwise);
        body.space_out = variants(from.at(name + ".space_out").pointwise);
        body.mix_in = variants(from.at(name + ".mix_in").pointwise);
        body.mix_out = variants(from.at(name + ".mix_out").pointwise);
        const PackedDepthwise& space = from.at(name + ".space").depthwise;
        body.space_weights = table(space.weight);
        body.space_constants = constants(space.start, space.shift);
        return body;
    }

    template <class T>
    uint32_t table(const Vector<T>& values) {
        const uint32_t at = take(values.size() * sizeof(T));
        std::memcpy(bytes_.data() + at, values.data(), values.size() * sizeof(T));
        return at;
    }

    uint32_t narrow(const QualityTable& from) {
        return table(Vector<int16_t>(from.values.begin(), from.values.end()));
    }

private:
    uint32_t take(size_t n) {
        const size_t at = bytes_.size();
        if (at + n > UINT32_MAX) throw std::invalid_argument("the entropy nets are larger than 4 GB");
        bytes_.resize((at + n + kAlignment - 1) / kAlignment * kAlignment);
        return static_cast<uint32_t>(at);
    }

    uint32_t constants(const Vector<int32_t>& start, const Vector<int32_t>& shift) {
        Vector<Constants> both(start.size());
        for (size_t i = 0; i < both.size(); ++i) both[i] = {start[i], shift[i]};
        return table(both);
    }

    static int16_t weight_of(const PackedPointwise& from, int output, int input) {
        const size_t pair = static_cast<size_t>(output / kBlock) * from.input_pairs + input / 2;
        return from.weight[(pair * kBlock + output % kBlock) * 2 + input % 2];
    }

    // Of the 16 bytes that a thread loads, the first 8 are the high bytes of the weights of its 8 input channels, and
    // the last 8 are the low bytes.
    void set_weight(const Conv& conv, int output, int input, int16_t weight) {
        const size_t pair = output / kPairColumns, tile = output % kPairColumns / kColumns;
        const size_t lane = output % kColumns * 4 + input % kDepth / kLaneChannels;
        const size_t place = ((pair * conv.k_steps + input / kDepth) * 2 + tile) * 32 + lane;
        uint8_t* const to = bytes_.data() + conv.weights + place * 2 * kLaneChannels + input % kLaneChannels;
        to[0] = static_cast<uint8_t>(static_cast<uint16_t>(weight) >> 8);
        to[kLaneChannels] = static_cast<uint8_t>(weight & 0xFF);
    }

    Vector<uint8_t>& bytes_;
};

}  // namespace

NetImage::NetImage(const Nets& nets) {
    const NetsConfig& c = layout.config = nets.config;
    layout.width = round_up(c.context, kDepth);
    layout.wide = round_up(2 * c.context, kDepth);
    layout.hyper = round_up(c.hyper, kDepth);
    layout.latents = round_up(c.latents, kDepth);
    layout.heads = round_up(2 * nets.group_size(), kDepth);
    Writer write(bytes);
    layout.head = write.variants(nets.prior.at("net.head").pointwise);
    layout.quality = write.narrow(nets.prior.at("net.head").vectors[0]);
    const char* bodies[] = {"net.body4", "net.body2", "net.body1"};
    for (int i = 0; i < 3; ++i) layout.bodies[i] = write.body(nets.prior, bodies[i]);
    layout.up[0] = write.variants(nets.prior.at("net.up2").pointwise);
    layout.up[1] = write.variants(nets.prior.at("net.up1").pointwise);
    for (int k = 0; k < c.steps; ++k) {
        const PackedProgram& from = nets.steps[k];
        const std::string name = "net.steps." + std::to_string(k);
        StepLayout& step = layout.steps[k];
        step.from_hyper = write.variants(from.at(name + ".from_hyper").pointwise);
        step.quality = write.narrow(from.at(name + ".from_hyper").vectors[0]);
        step.body = write.body(from, name + ".body");
        if (k > 0) step.from_latents = write.variants(from.at(name + ".from_latents").pointwise);
        const PackedStage& heads = from.at(name + ".mean");
        step.heads = write.variants(heads.pointwise);
        step.heads_quality = write.narrow(heads.vectors[0]);
        uint32_t last = step.heads_quality;
        for (int phase = 1; phase < c.steps; ++phase) last = write.narrow(heads.vectors[phase]);
        step.heads_quality_stride = (last - step.heads_quality) / (c.steps - 1);
    }
    layout.hyper_index = write.table(nets.hyper_index);
    layout.hyper_step = write.table(nets.hyper_step);
    layout.step = write.table(nets.step);
}

}  // namespace aec
