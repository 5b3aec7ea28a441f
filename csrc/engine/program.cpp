#include "engine/program.h"

#include <stdexcept>

namespace aec {
namespace {

class Writer {
public:
    int plane(int channels, int resolution, int largest = kMaxMagnitude) {
        program_.planes.push_back({channels, resolution, largest});
        return static_cast<int>(program_.planes.size()) - 1;
    }

    Stage& add(Op op, const std::string& conv, int in, int out) {
        program_.stages.push_back({op, conv, in, out});
        return program_.stages.back();
    }

    // FORMAT §8's Block on each of these names, one after the other, on plane x.
    void blocks(const std::vector<std::string>& names, int x) {
        const auto [channels, resolution, largest] = program_.planes[x];
        // In turn: neighbours read one Block's while the next one's is being written.
        const int near[2] = {plane(channels, resolution), plane(channels, resolution)};
        const int space = plane(channels, resolution), wide = plane(2 * channels, resolution);
        for (size_t i = 0; i < names.size(); ++i) {
            add(Op::kPointwise, names[i] + ".space_in", x, near[i % 2]).leaky = true;
            add(Op::kDepthwise, names[i] + ".space", near[i % 2], space);
            add(Op::kPointwise, names[i] + ".space_out", space, x).adds = true;
            add(Op::kPointwise, names[i] + ".mix_in", x, wide).leaky = true;
            add(Op::kPointwise, names[i] + ".mix_out", wide, x).adds = true;
        }
    }

    void body(const std::string& name, int n, int x) {
        std::vector<std::string> names;
        for (int i = 0; i < n; ++i) names.push_back(name + "." + std::to_string(i));
        blocks(names, x);
    }

    Program finish(int input, int output) {
        program_.input = input;
        program_.output = output;
        return program_;
    }

private:
    Program program_;
};

// The file's channel, as PixelUnshuffle(8) numbers them, of each number in [8 rows][8 columns][3 channels].
std::vector<int> channels_of_pixels() {
    std::vector<int> channels;
    for (int at = 0; at < 8 * 8; ++at)
        for (int channel = 0; channel < 3; ++channel) channels.push_back(channel * 8 * 8 + at);
    return channels;
}

// What an Unshuffle gathers is [4 corners][channels].
std::vector<int> channels_of_corners(int channels) {
    std::vector<int> gathered;
    for (int corner = 0; corner < 4; ++corner)
        for (int c = 0; c < channels; ++c) gathered.push_back(4 * c + corner);
    return gathered;
}

}  // namespace

const TransformConfig& checked(const TransformConfig& c) {
    for (const int channels : {c.latents, c.wide8, c.wide16})
        if (channels < 1 || channels > kMaxChannels) throw std::invalid_argument("channels must be 1 to 16384");
    // As those of all models. Kernels read two at a time, and those of the last position have nothing behind them.
    if (c.latents % 2 != 0) throw std::invalid_argument("latents must be even");
    for (const int blocks : {c.blocks8, c.blocks16})
        if (blocks < 0 || blocks > 64) throw std::invalid_argument("blocks must be 0 to 64");
    return c;
}

Program synthesis_program(const TransformConfig& c) {
    Writer write;
    const int latents = write.plane(c.latents, 1), x16 = write.plane(c.wide16, 1), x8 = write.plane(c.wide8, 2);
    const int pixels = write.plane(3 * 8 * 8, 2);
    write.add(Op::kPointwise, "head16", latents, x16).vector = "quality16";
    write.body("body16", c.blocks16, x16);
    Stage& tail = write.add(Op::kPointwise, "tail16", x16, x8);
    tail.map = Map::kShuffle2;
    tail.vector = "quality8";
    write.body("body8", c.blocks8, x8);
    Stage& last = write.add(Op::kPointwise, "tail8", x8, pixels);
    last.outputs = channels_of_pixels();
    return write.finish(latents, pixels);
}

Program analysis_program(const TransformConfig& c) {
    Writer write;
    const int pixels = write.plane(3 * 8 * 8, 2, kLargestPixel), x8 = write.plane(c.wide8, 2);
    const int x16 = write.plane(c.wide16, 1), tail = write.plane(c.latents, 1);
    Stage& head = write.add(Op::kPointwise, "head8", pixels, x8);
    head.vector = "quality8";
    head.inputs = channels_of_pixels();
    write.body("body8", c.blocks8, x8);
    Stage& down = write.add(Op::kPointwise, "head16", x8, x16);
    down.map = Map::kUnshuffle2;
    down.vector = "quality16";
    write.body("body16", c.blocks16, x16);
    write.add(Op::kPointwise, "tail", x16, tail);
    return write.finish(pixels, tail);
}

Program hyper_analysis_program(int latents, int context, int hyper) {
    Writer write;
    const int y = write.plane(latents, 4), x = write.plane(context, 4), x2 = write.plane(context, 2);
    const int x4 = write.plane(context, 1), z = write.plane(hyper, 1);
    write.add(Op::kPointwise, "head", y, x).vector = "quality";
    write.blocks({"body"}, x);
    write.add(Op::kPointwise, "down2", x, x2).map = Map::kUnshuffle2;
    write.blocks({"body2"}, x2);
    write.add(Op::kPointwise, "down4", x2, x4).map = Map::kUnshuffle2;
    write.blocks({"body4"}, x4);
    write.add(Op::kPointwise, "tail", x4, z);
    return write.finish(y, z);
}

std::vector<PackedStage> pack(const Program& program, const Reader& reader) {
    std::vector<PackedStage> packed;
    for (const Stage& stage : program.stages) {
        const auto [inputs, resolution, largest] = program.planes[stage.in];
        const int outputs = program.planes[stage.out].channels;
        PackedStage& to = packed.emplace_back();
        if (stage.op == Op::kDepthwise)
            to.depthwise = pack_depthwise(read_conv(reader, stage.conv, outputs, 1, 3));
        else if (stage.map == Map::kShuffle2)
            to.shuffled = pack_shuffled(read_conv(reader, stage.conv, 4 * outputs, inputs, 1, largest));
        else if (stage.map == Map::kUnshuffle2) {
            const FileConv conv = read_conv(reader, stage.conv, outputs, 4 * inputs, 1, largest);
            to.pointwise = pack(outputs_of(conv, numbers(outputs)), channels_of_corners(inputs));
        } else {
            const FileConv conv = read_conv(reader, stage.conv, outputs, inputs, 1, largest);
            to.pointwise = pack(outputs_of(conv, stage.outputs.empty() ? numbers(outputs) : stage.outputs),
                                stage.inputs.empty() ? numbers(inputs) : stage.inputs);
        }
        if (!stage.vector.empty()) to.vector = read_table(reader, stage.vector, outputs);
    }
    return packed;
}

}  // namespace aec
