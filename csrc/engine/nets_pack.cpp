#include "engine/nets_pack.h"

#include <stdexcept>
#include <string>

namespace aec {
namespace {

PackedStep read_step(const Reader& reader, const NetsConfig& config, int k) {
    const std::string name = "net.steps." + std::to_string(k);
    const int n = config.context, latents = config.latents, steps = config.steps, group_size = latents / steps;
    PackedStep step;
    step.from_hyper = pack(read_conv(reader, name + ".from_hyper", n, n, 1));
    step.quality = read_table(reader, name + ".quality", n);
    step.body = read_block(reader, name + ".body", n);
    const FileConv mean = read_conv(reader, name + ".mean", latents, n, 1);
    const FileConv index = read_conv(reader, name + ".index", latents, n, 1);
    const FileConv from_latents = k > 0 ? read_conv(reader, name + ".from_latents", n, latents, 1) : FileConv{};
    const int16_t* index_quality = reader.at<int16_t>(name + ".index_quality.table", {kQualities, latents});
    for (int phase = 0; phase < steps; ++phase) {
        std::vector<int> before, now;  // latents of the steps before this one, and of this one
        for (int j = 0; j <= k; ++j)
            for (int i = 0; i < group_size; ++i) (j < k ? before : now).push_back(i * steps + (j ^ phase));

        PackedPhase& packed = step.phases[phase];
        if (k > 0) packed.from_latents = pack(outputs_of(from_latents, numbers(n)), before);

        std::vector<Output> heads = outputs_of(mean, now);
        const std::vector<Output> index_heads = outputs_of(index, now);
        heads.insert(heads.end(), index_heads.begin(), index_heads.end());
        packed.heads = pack(heads, numbers(n));

        std::vector<int> columns(group_size, -1);
        columns.insert(columns.end(), now.begin(), now.end());
        packed.heads_quality = pack_table(index_quality, latents, columns);
    }
    return step;
}

template <class T>
std::vector<T> read_rows(const Reader& reader, const std::string& name, int channels, T low, T high) {
    const T* values = reader.at<T>(name, {kQualities, channels});
    for (int64_t i = 0; i < int64_t{kQualities} * channels; ++i)
        if (values[i] < low || values[i] > high) fail(name, "has a value out of range");
    return std::vector<T>(values, values + static_cast<size_t>(kQualities) * channels);
}

const NetsConfig& checked(const NetsConfig& config) {
    if (config.steps != 2 && config.steps != 4) throw std::invalid_argument("steps must be 2 or 4");
    for (const int channels : {config.latents, config.hyper, config.context})
        if (channels < 1 || channels > kMaxChannels) throw std::invalid_argument("channels must be 1 to 16384");
    if (config.latents % config.steps != 0) throw std::invalid_argument("latents must be a multiple of steps");
    return config;
}

}  // namespace

Nets::Nets(const NetsConfig& c, const Tensors& tensors) : config(checked(c)) {
    const Reader reader(tensors);
    const int n = config.context;
    step = read_rows<int16_t>(reader, "step", config.latents, 1, 32767);
    hyper_step = read_rows<int16_t>(reader, "hyper_step", config.hyper, 1, 32767);
    hyper_index = read_rows<uint8_t>(reader, "hyper_index", config.hyper, 0, kIndexCount - 1);
    head = pack(read_conv(reader, "net.head", n, config.hyper, 1));
    quality = read_table(reader, "net.quality", n);
    body4 = read_block(reader, "net.body4", n);
    up2 = pack_shuffled(read_conv(reader, "net.up2", 4 * n, n, 1));
    body2 = read_block(reader, "net.body2", n);
    up1 = pack_shuffled(read_conv(reader, "net.up1", 4 * n, n, 1));
    body1 = read_block(reader, "net.body1", n);
    for (int k = 0; k < config.steps; ++k) steps[k] = read_step(reader, config, k);
}

}  // namespace aec
