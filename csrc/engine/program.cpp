#include "engine/program.h"

namespace aec {
namespace {

class Writer {
public:
    int plane(int channels, int resolution) {
        program_.planes.push_back({channels, resolution});
        return static_cast<int>(program_.planes.size()) - 1;
    }

    Stage& add(Op op, const std::string& conv, int in, int out) {
        program_.stages.push_back({op, conv, in, out});
        return program_.stages.back();
    }

    // FORMAT §8's Blocks, one after the other, on plane x.
    void body(const std::string& name, int blocks, int x) {
        const auto [channels, resolution] = program_.planes[x];
        // In turn: neighbours read one Block's while the next one's is being written.
        const int near[2] = {plane(channels, resolution), plane(channels, resolution)};
        const int space = plane(channels, resolution), wide = plane(2 * channels, resolution);
        for (int i = 0; i < blocks; ++i) {
            const std::string block = name + "." + std::to_string(i);
            add(Op::kPointwise, block + ".space_in", x, near[i % 2]).leaky = true;
            add(Op::kDepthwise, block + ".space", near[i % 2], space);
            add(Op::kPointwise, block + ".space_out", space, x).adds = true;
            add(Op::kPointwise, block + ".mix_in", x, wide).leaky = true;
            add(Op::kPointwise, block + ".mix_out", wide, x).adds = true;
        }
    }

    Program finish(int input, int output) {
        program_.input = input;
        program_.output = output;
        return program_;
    }

private:
    Program program_;
};

}  // namespace

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
    for (int at = 0; at < 8 * 8; ++at)
        for (int channel = 0; channel < 3; ++channel) last.outputs.push_back(channel * 8 * 8 + at);
    return write.finish(latents, pixels);
}

std::vector<PackedStage> pack(const Program& program, const Reader& reader) {
    std::vector<PackedStage> packed;
    for (const Stage& stage : program.stages) {
        const int inputs = program.planes[stage.in].channels, outputs = program.planes[stage.out].channels;
        PackedStage& to = packed.emplace_back();
        if (stage.op == Op::kDepthwise)
            to.depthwise = pack_depthwise(read_conv(reader, stage.conv, outputs, 1, 3));
        else if (stage.map == Map::kShuffle2)
            to.shuffled = pack_shuffled(read_conv(reader, stage.conv, 4 * outputs, inputs, 1));
        else {
            const FileConv conv = read_conv(reader, stage.conv, outputs, inputs, 1);
            to.pointwise = pack(outputs_of(conv, stage.outputs.empty() ? numbers(outputs) : stage.outputs),
                                numbers(inputs));
        }
        if (!stage.vector.empty()) to.vector = read_table(reader, stage.vector, outputs);
    }
    return packed;
}

}  // namespace aec
