#include "engine/nets_pack.h"

#include <string>

namespace aec {
namespace {

template <class T>
Vector<T> read_rows(const Reader& reader, const std::string& name, int channels, T low, T high) {
    const T* values = reader.at<T>(name, {kQualities, channels});
    for (int64_t i = 0; i < int64_t{kQualities} * channels; ++i)
        if (values[i] < low || values[i] > high)
            fail(name, "has " + std::to_string(values[i]) + ": " + std::to_string(low) + " to " +
                           std::to_string(high) + " are allowed");
    return Vector<T>(values, values + static_cast<size_t>(kQualities) * channels);
}

}  // namespace

Nets::Nets(const NetsConfig& c, const Tensors& tensors) : config(checked(c)) {
    const Reader reader(tensors);
    step = read_rows<int16_t>(reader, "step", config.latents, 1, 32767);
    for (int quality = 0; quality < kQualities; ++quality)
        for (int group = 0; group < config.steps; ++group)
            for (int c = group; c < config.latents; c += config.steps)
                group_step.push_back(step[static_cast<size_t>(quality) * config.latents + c]);
    hyper_step = read_rows<int16_t>(reader, "hyper_step", config.hyper, 1, 32767);
    hyper_index = read_rows<uint8_t>(reader, "hyper_index", config.hyper, 0, kIndexCount - 1);
    prior = PackedProgram(prior_program(config), reader);
    for (int k = 0; k < config.steps; ++k) steps.emplace_back(step_program(config, k), reader);
}

}  // namespace aec
