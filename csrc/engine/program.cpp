#include "engine/program.h"

#include <stdexcept>

namespace aec {
namespace {

// Builds a program stage by stage. The names of its functions are those of FORMAT §8.
class Writer {
public:
    int plane(int channels, int resolution, int largest = kMaxMagnitude) {
        program_.planes.push_back({channels, resolution, largest});
        return static_cast<int>(program_.planes.size()) - 1;
    }

    Stage& add(Op op, const std::string& conv, int in, int out) {
        const int inputs = op == Op::kDepthwise ? 1 : program_.planes[in].channels;
        program_.stages.push_back({op, {conv}, in, out, inputs, program_.planes[out].channels});
        return program_.stages.back();
    }

    Stage& up2(const std::string& conv, int in, int out) {
        Stage& stage = add(Op::kPointwise, conv, in, out);
        stage.map = Map::kShuffle2;
        stage.file_outputs *= 4;
        stage.variants.assign(4, {});
        for (int corner = 0; corner < 4; ++corner)
            for (int c = 0; c < program_.planes[out].channels; ++c)
                stage.variants[corner].outputs.push_back(4 * c + corner);
        return stage;
    }

    // The executor gathers the four positions that become one as [4 corners][channels].
    Stage& down2(const std::string& conv, int in, int out) {
        Stage& stage = add(Op::kPointwise, conv, in, out);
        stage.map = Map::kUnshuffle2;
        stage.file_inputs *= 4;
        for (int corner = 0; corner < 4; ++corner)
            for (int c = 0; c < program_.planes[in].channels; ++c)
                stage.variants[0].inputs.push_back(4 * c + corner);
        return stage;
    }

    void give_vector(Stage& stage, const std::string& name) {
        stage.vector = name;
        stage.vector_channels = program_.planes[stage.out].channels;
    }

    // Appends a Block (FORMAT §8) for each of these names; all read and replace plane x.
    void blocks(const std::vector<std::string>& names, int x) {
        const auto [channels, resolution, largest] = program_.planes[x];
        // The depthwise stage of a Block reads neighbouring positions of `near`. In the same round of the executor,
        // other threads already write the next Block's `near`. So consecutive Blocks must use different planes.
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

    Program finish(const std::vector<int>& inputs, int output) {
        program_.inputs = inputs;
        program_.output = output;
        return program_;
    }

private:
    Program program_;
};

// For each number of a square of pixels [8 rows][8 columns][3 channels]: its channel in the file, which has the order
// of torch's PixelUnshuffle(8), [3 channels][8 rows][8 columns].
std::vector<int> channels_of_pixels() {
    std::vector<int> channels;
    for (int at = 0; at < 8 * 8; ++at)
        for (int channel = 0; channel < 3; ++channel) channels.push_back(channel * 8 * 8 + at);
    return channels;
}

void check_channels(std::initializer_list<int> all) {
    for (const int channels : all)
        if (channels < 1 || channels > kMaxChannels)
            throw std::invalid_argument(std::to_string(channels) + " channels: 1 to 16384 are allowed");
}

}  // namespace

const TransformConfig& checked(const TransformConfig& c) {
    check_channels({c.latents, c.wide8, c.wide16});
    // Kernels read latents in pairs, and after the last position's latents there may be no memory that they could read.
    if (c.latents % 2 != 0)
        throw std::invalid_argument("latents is " + std::to_string(c.latents) + ": an even number is allowed");
    for (const int blocks : {c.blocks8, c.blocks16})
        if (blocks < 0 || blocks > 64)
            throw std::invalid_argument(std::to_string(blocks) + " blocks: 0 to 64 are allowed");
    return c;
}

const NetsConfig& checked(const NetsConfig& c) {
    if (c.steps != 2 && c.steps != 4)
        throw std::invalid_argument("steps is " + std::to_string(c.steps) + ": 2 or 4 are allowed");
    check_channels({c.latents, c.hyper, c.context});
    if (c.latents % c.steps != 0)
        throw std::invalid_argument("latents is " + std::to_string(c.latents) + ": a multiple of steps, " +
                                    std::to_string(c.steps) + ", is allowed");
    return c;
}

Program synthesis_program(const TransformConfig& c) {
    Writer write;
    const int latents = write.plane(c.latents, 1), x16 = write.plane(c.wide16, 1), x8 = write.plane(c.wide8, 2);
    const int pixels = write.plane(3 * 8 * 8, 2);
    write.give_vector(write.add(Op::kPointwise, "head16", latents, x16), "quality16");
    write.body("body16", c.blocks16, x16);
    write.give_vector(write.up2("tail16", x16, x8), "quality8");
    write.body("body8", c.blocks8, x8);
    write.add(Op::kPointwise, "tail8", x8, pixels).variants[0].outputs = channels_of_pixels();
    return write.finish({latents}, pixels);
}

Program analysis_program(const TransformConfig& c) {
    Writer write;
    const int pixels = write.plane(3 * 8 * 8, 2, kLargestPixel), x8 = write.plane(c.wide8, 2);
    const int x16 = write.plane(c.wide16, 1), tail = write.plane(c.latents, 1);
    Stage& head = write.add(Op::kPointwise, "head8", pixels, x8);
    head.variants[0].inputs = channels_of_pixels();
    write.give_vector(head, "quality8");
    write.body("body8", c.blocks8, x8);
    write.give_vector(write.down2("head16", x8, x16), "quality16");
    write.body("body16", c.blocks16, x16);
    write.add(Op::kPointwise, "tail", x16, tail);
    return write.finish({pixels}, tail);
}

Program hyper_analysis_program(int latents, int context, int hyper) {
    Writer write;
    const int y = write.plane(latents, 4), x = write.plane(context, 4), x2 = write.plane(context, 2);
    const int x4 = write.plane(context, 1), z = write.plane(hyper, 1);
    write.give_vector(write.add(Op::kPointwise, "head", y, x), "quality");
    write.blocks({"body"}, x);
    write.down2("down2", x, x2);
    write.blocks({"body2"}, x2);
    write.down2("down4", x2, x4);
    write.blocks({"body4"}, x4);
    write.add(Op::kPointwise, "tail", x4, z);
    return write.finish({y}, z);
}

Program prior_program(const NetsConfig& c) {
    Writer write;
    const int z = write.plane(c.hyper, 1), x4 = write.plane(c.context, 1), x2 = write.plane(c.context, 2);
    const int x1 = write.plane(c.context, 4);
    write.give_vector(write.add(Op::kPointwise, "net.head", z, x4), "net.quality");
    write.blocks({"net.body4"}, x4);
    write.up2("net.up2", x4, x2);
    write.blocks({"net.body2"}, x2);
    write.up2("net.up1", x2, x1);
    write.blocks({"net.body1"}, x1);
    return write.finish({z}, x1);
}

Program step_program(const NetsConfig& c, int k) {
    Writer write;
    const std::string name = "net.steps." + std::to_string(k);
    const int n = c.group_size();
    const int prior = write.plane(c.context, 1), latents = write.plane(c.latents, 1);
    const int x = write.plane(c.context, 1), heads = write.plane(2 * n, 1);
    Stage& from_hyper = write.add(Op::kPointwise, name + ".from_hyper", prior, x);
    from_hyper.leaky = k == 0;
    write.give_vector(from_hyper, name + ".quality");
    // Appends the channels in the file of the latents that step j codes at positions of a phase, each plus `first`.
    const auto channels = [&](int j, int phase, std::vector<int>& to, int first) {
        for (int i = 0; i < n; ++i) to.push_back(first + i * c.steps + (j ^ phase));
    };
    if (k > 0) {
        Stage& stage = write.add(Op::kPointwise, name + ".from_latents", latents, x);
        stage.adds = stage.leaky = true;
        stage.map = Map::kPhases;
        stage.variants.assign(c.steps, {});
        for (int phase = 0; phase < c.steps; ++phase)
            for (int j = 0; j < k; ++j) channels(j, phase, stage.variants[phase].inputs, 0);
    }
    write.blocks({name + ".body"}, x);
    Stage& stage = write.add(Op::kPointwise, name + ".mean", x, heads);
    stage.convs.push_back(name + ".index");
    stage.file_outputs = stage.vector_channels = c.latents;
    stage.vector = name + ".index_quality";
    stage.map = Map::kPhases;
    stage.variants.assign(c.steps, {});
    for (int phase = 0; phase < c.steps; ++phase) {
        Variant& variant = stage.variants[phase];
        channels(k, phase, variant.outputs, 0);
        channels(k, phase, variant.outputs, c.latents);
        variant.columns.assign(n, -1);
        channels(k, phase, variant.columns, 0);
    }
    return write.finish({prior, latents}, heads);
}

PackedProgram::PackedProgram(Program from, const Reader& reader) : program(std::move(from)) {
    for (const Stage& stage : program.stages) {
        PackedStage& to = stages.emplace_back();
        const int channels = program.planes[stage.out].channels;
        if (stage.op == Op::kDepthwise) {
            to.depthwise = pack_depthwise(read_conv(reader, stage.convs[0], channels, 1, 3));
            continue;
        }
        std::vector<FileConv> convs;
        for (const std::string& conv : stage.convs)
            convs.push_back(read_conv(reader, conv, stage.file_outputs, stage.file_inputs, 1,
                                      program.planes[stage.in].largest));
        for (const Variant& variant : stage.variants) {
            std::vector<Output> outputs;
            for (const int o : variant.outputs.empty() ? numbers(stage.file_outputs) : variant.outputs)
                outputs.push_back({&convs[o / stage.file_outputs], o % stage.file_outputs});
            to.pointwise.push_back(pack(outputs, variant.inputs.empty() ? numbers(stage.file_inputs) : variant.inputs));
            if (stage.vector.empty()) continue;
            const int16_t* table =
                reader.at<int16_t>(stage.vector + ".table", {kQualities, stage.vector_channels});
            to.vectors.push_back(pack_table(table, stage.vector_channels,
                                            variant.columns.empty() ? numbers(channels) : variant.columns));
        }
    }
}

const PackedStage& PackedProgram::at(const std::string& conv) const {
    for (size_t i = 0; i < stages.size(); ++i)
        if (program.stages[i].convs[0] == conv) return stages[i];
    throw std::invalid_argument("the program has no " + conv);
}

}  // namespace aec
