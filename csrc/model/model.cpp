#include "model/model.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/parallel.h"
#include "model/stored_model.h"
#include "rans/tables.h"

namespace aec {
namespace {

// From these levels on, small pictures leave the branch out (codec/coding/model_config.py says why).
constexpr float kLinearFrom4 = 32, kLinearFrom8 = 10;

constexpr double kDeadZonePerBit = 0.045, kMaxDeadZone = 0.25;

// The bits that an ideal coder writes for the symbol 0 or 1. frequencies: the row of its index.
double bits_of(int symbol, const uint16_t* frequencies, int limit, int raw_bits) {
    const int letter = (symbol >> raw_bits) + limit, escape = 2 * limit + 1;
    const auto bits = [&](int at) {
        return kScaleBits - std::log2(static_cast<double>(std::max<int>(1, frequencies[at])));
    };
    // The smallest escape follows no raw bits, and its head says that it is the smallest.
    return letter < escape ? bits(letter) + raw_bits : bits(escape) + kEscapeHeadBits;
}

// The dead zone of each index: by how much the interval of latents that become the symbol 0 is widened, in units of 2^-12
// quantisation steps.
//
// This is a simple form of rate-distortion optimised quantisation (RDOQ). Let v be the distance of a latent from its
// predicted mean, in quantisation steps. The symbol 0 instead of 1 saves b = bits(1) - bits(0), and adds
// step^2 * (2 |v| - 1) to the squared error. To minimise rate + lambda * error, 0 is better up to
// |v| = 1/2 + b / (2 lambda step^2). At high rates the error is step^2 / 12 and the rate falls by log2(step), so that
// lambda step^2 = 6 / ln 2 = 8.66, and the dead zone is 0.058 b. For symbols above 1 the gain would be small, so they are
// always rounded to the nearest.
//
// Measured with model 286c2ccc, which was trained with nearest symbols, on 12 held-out images at six qualities from 5 to
// 90: files are 5.6 % smaller at equal PSNR (BD-rate) with dead zones of 0.045 b, at most 1/4. Factors of 0.03 to 0.06
// are within 0.4 %. A model trained with dead zones gains more: 10.0 % on Kodak for 3a603f91.
//
// Source: Sullivan 1996, "Efficient scalar quantization of exponential and Laplacian random variables", from which the
// dead zones of H.264 and HEVC encoders come.
std::array<int16_t, kIndexCount> dead_zones_of(const Safetensors& file) {
    const auto data_of = [&](const char* name) { return file.tensors.at(name).bytes.data; };
    const auto* frequencies = reinterpret_cast<const uint16_t*>(data_of("tables.freqs"));
    const uint8_t *limits = data_of("tables.limits"), *raw_bits = data_of("tables.raw_bits");
    std::array<int16_t, kIndexCount> zones = {};
    for (int i = 1; i < kIndexCount; ++i) {
        const uint16_t* row = frequencies + i * kMaxAlphabet;
        const double saved = bits_of(1, row, limits[i], raw_bits[i]) - bits_of(0, row, limits[i], raw_bits[i]);
        zones[i] = static_cast<int16_t>(
            std::lround(std::clamp(kDeadZonePerBit * saved, 0.0, kMaxDeadZone) * (1 << kFractionBits)));
    }
    return zones;
}

}  // namespace

struct Model::Parts {
    ModelConfig config;
    ModelId id;
    std::string tune;
    std::array<int16_t, kIndexCount> dead_zones;
    std::shared_ptr<const Tables> tables;
    std::unique_ptr<const Nets> nets;
    std::unique_ptr<const Synthesis> synthesis;
    std::vector<float> levels;
};

Model::Model(Parts&& parts)
    : config(parts.config), id(parts.id), tune(std::move(parts.tune)), dead_zones(parts.dead_zones),
      tables(std::move(parts.tables)), nets(std::move(parts.nets)), synthesis(std::move(parts.synthesis)),
      levels_(std::move(parts.levels)) {}

std::shared_ptr<const Model> Model::load(Span bytes, int threads) try {
    const StoredModel stored(bytes);
    const Safetensors& file = stored.file;
    Parts parts = {};
    parts.config = ModelConfig::of(entry_of(file.metadata, "aec_model"));
    parts.tune = tune_in(file.metadata);
    parts.id = id_of(entry_of(file.metadata, "decoder_sha256"));
    check_forms(parts.config, file.tensors);
    std::string found;
    // The three take about the same time.
    parallel_for(threads, 3, [&](int64_t i) {
        if (i == 0) found = stored.digest(false);
        if (i == 1)
            parts.nets = stored.made("entropy.", [&](const Tensors& tensors) {
                return std::make_unique<Nets>(parts.config.nets(), tensors);
            });
        if (i == 2)
            parts.synthesis = stored.made("synthesis.", [&](const Tensors& tensors) {
                return std::make_unique<Synthesis>(parts.config.transform(), tensors);
            });
    });
    if (found != entry_of(file.metadata, "decoder_sha256"))
        throw Error(ErrorKind::kModel, "decoder_sha256 of the model does not match: the file was changed or damaged");
    const auto data_of = [&](const char* name) { return file.tensors.at(name).bytes.data; };
    parts.tables = make_tables(reinterpret_cast<const uint16_t*>(data_of("tables.freqs")), data_of("tables.limits"),
                               data_of("tables.raw_bits"));
    parts.dead_zones = dead_zones_of(file);
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
    std::partial_sort(order.begin(), order.begin() + n, order.end(),
                      [&](int a, int b) { return steps[a] != steps[b] ? steps[a] < steps[b] : a < b; });
    std::vector<bool> first(config.latents, false);
    for (int i = 0; i < n; ++i) first[order[i]] = true;
    return first;
}

}  // namespace aec
