#include "engine/nets_image.h"

#include <string>

namespace aec {
namespace {

// The weights of the Block with this name.
BodyLayout body_of(ImageWriter& write, const PackedProgram& from, const std::string& name) {
    BodyLayout body;
    body.space_in = write.variants(from.at(name + ".space_in").pointwise);
    body.space_out = write.variants(from.at(name + ".space_out").pointwise);
    body.mix_in = write.variants(from.at(name + ".mix_in").pointwise);
    body.mix_out = write.variants(from.at(name + ".mix_out").pointwise);
    body.space = write.space(from.at(name + ".space").depthwise);
    return body;
}

}  // namespace

NetImage::NetImage(const Nets& nets) {
    const NetsConfig& c = layout.config = nets.config;
    layout.width = round_up(c.context, kDepth);
    layout.wide = round_up(2 * c.context, kDepth);
    layout.hyper = round_up(c.hyper, kDepth);
    layout.latents = round_up(c.latents, kDepth);
    layout.heads = round_up(2 * nets.group_size(), kDepth);
    ImageWriter write(bytes);
    layout.head = write.variants(nets.prior.at("net.head").pointwise);
    layout.quality = write.narrow(nets.prior.at("net.head").vectors[0]);
    const char* bodies[] = {"net.body4", "net.body2", "net.body1"};
    for (int i = 0; i < 3; ++i) layout.bodies[i] = body_of(write, nets.prior, bodies[i]);
    layout.up[0] = write.variants(nets.prior.at("net.up2").pointwise);
    layout.up[1] = write.variants(nets.prior.at("net.up1").pointwise);
    for (int k = 0; k < c.steps; ++k) {
        const PackedProgram& from = nets.steps[k];
        const std::string name = "net.steps." + std::to_string(k);
        StepLayout& step = layout.steps[k];
        step.from_hyper = write.variants(from.at(name + ".from_hyper").pointwise);
        step.quality = write.narrow(from.at(name + ".from_hyper").vectors[0]);
        step.body = body_of(write, from, name + ".body");
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
