#include "model/model.h"

#include <algorithm>
#include <numeric>

#include "base/parallel.h"
#include "model/stored_model.h"
#include "rans/tables.h"

namespace aec {
namespace {

// From these levels on, small pictures leave the branch out (codec/coding/model_config.py says why).
constexpr float kLinearFrom4 = 32, kLinearFrom8 = 10;

}  // namespace

struct Model::Parts {
    ModelConfig config;
    ModelId id;
    std::shared_ptr<const Tables> tables;
    std::unique_ptr<const Nets> nets;
    std::unique_ptr<const Synthesis> synthesis;
    std::vector<float> levels;
};

Model::Model(Parts&& parts)
    : config(parts.config), id(parts.id), tables(std::move(parts.tables)), nets(std::move(parts.nets)),
      synthesis(std::move(parts.synthesis)), levels_(std::move(parts.levels)) {}

std::shared_ptr<const Model> Model::load(Span bytes, int threads) try {
    const StoredModel stored(bytes);
    const Safetensors& file = stored.file;
    Parts parts = {};
    parts.config = ModelConfig::of(entry_of(file.metadata, "aec_model"));
    tune_in(file.metadata);  // which must be one that there is
    parts.id = id_of(entry_of(file.metadata, "decoder_sha256"));
    check_forms(parts.config, file.tensors);
    std::string found;
    // The three take about the same time.
    parallel_for(threads, 3, [&](int64_t i) {
        if (i == 0) found = stored.digest(false);
        if (i == 1) parts.nets = std::make_unique<Nets>(parts.config.nets(), stored.net("entropy.").tensors);
        if (i == 2)
            parts.synthesis =
                std::make_unique<Synthesis>(parts.config.transform(), stored.net("synthesis.").tensors);
    });
    if (found != entry_of(file.metadata, "decoder_sha256"))
        throw Error(ErrorKind::kModel, "decoder_sha256 of the model does not match: the file was changed or damaged");
    const auto data_of = [&](const char* name) { return file.tensors.at(name).bytes.data; };
    parts.tables = make_tables(reinterpret_cast<const uint16_t*>(data_of("tables.freqs")), data_of("tables.limits"),
                               data_of("tables.raw_bits"));
    const auto* levels = reinterpret_cast<const float*>(data_of("levels"));
    parts.levels.assign(levels, levels + kQualities);
    return std::shared_ptr<const Model>(new Model(std::move(parts)));
} catch (const std::invalid_argument& error) {
    throw Error(ErrorKind::kModel, std::string("not a model this aec can run: ") + error.what());
}

bool Model::id_in(const std::map<std::string, std::string>& metadata, ModelId& id) try {
    entry_of(metadata, "aec_model");
    id = id_of(entry_of(metadata, "decoder_sha256"));
    return true;
} catch (const std::invalid_argument&) {
    return false;
}

bool Model::has_branch(int quality, int shrink) const {
    const float level = levels_[quality - 1];
    return shrink == 4 ? level < kLinearFrom4 : shrink == 8 ? level < kLinearFrom8 : true;
}

std::vector<bool> Model::first_channels(int quality, int n) const {
    const int16_t* const steps = nets->step.data() + static_cast<size_t>(quality - 1) * config.latents;
    std::vector<int> order(config.latents);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return steps[a] < steps[b]; });
    std::vector<bool> first(config.latents, false);
    for (int i = 0; i < n; ++i) first[order[i]] = true;
    return first;
}

}  // namespace aec
