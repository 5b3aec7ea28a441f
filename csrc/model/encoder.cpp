#include "model/encoder.h"

#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "model/stored_model.h"

namespace aec {
namespace {

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

// By how much the interval of latents that become the symbol 0 is widened: a simple form of rate-distortion optimised
// quantisation. `dead_zones` in codec/coding/cdf_tables.py, its twin, explains it.
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

std::shared_ptr<const Encoder> Encoder::load(Span bytes, int threads) try {
    auto encoder = std::make_shared<Encoder>();
    encoder->model = Model::load(bytes, threads);
    const Model& model = *encoder->model;
    const StoredModel stored(bytes);
    const auto& tensors = stored.file.tensors;
    if (std::none_of(tensors.begin(), tensors.end(), [](const auto& item) { return is_encoders(item.first); }))
        throw std::invalid_argument("it has the decoder's half only, without tensors analysis.* and hyper_analysis.*");
    EncoderModel& parts = encoder->parts;
    const ModelConfig& c = model.config;
    std::string found;
    parallel_for(threads, 4, [&](int64_t i) {
        if (i == 0) parts.analysis = std::make_shared<Analysis>(c.transform(), stored.net("analysis.").tensors);
        if (i == 1)
            parts.hyper_analysis =
                std::make_shared<HyperAnalysis>(c.latents, c.context, c.hyper, stored.net("hyper_analysis.").tensors);
        if (i == 2) parts.projection = std::make_shared<Projection>(c.latents, stored.net("synthesis.").tensors);
        if (i == 3) found = stored.digest(true);
    });
    if (found != entry_of(stored.file.metadata, "encoder_sha256"))
        throw Error(ErrorKind::kModel, "encoder_sha256 of the model does not match: the file was changed or damaged");
    parts.nets = model.nets;
    parts.tables = model.tables;
    parts.levels = model.levels();
    parts.tune = tune_of(tune_in(stored.file.metadata));
    if (parts.tune == Tune::kEye) prepare_perceived_error();
    parts.synthesis = {encoder->model, model.synthesis.get()};
    encoder->dead_zones = dead_zones_of(stored.file);
    return encoder;
} catch (const std::invalid_argument& error) {
    throw Error(ErrorKind::kModel, std::string("not a model this aec can run: ") + error.what());
}

}  // namespace aec
