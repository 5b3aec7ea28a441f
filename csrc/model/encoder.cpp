#include "model/encoder.h"

#include <algorithm>

#include "base/parallel.h"
#include "model/stored_model.h"

namespace aec {

std::shared_ptr<const Encoder> Encoder::load(Span bytes, int threads) {
    return load(bytes, Model::load(bytes, threads), threads);
}

std::shared_ptr<const Encoder> Encoder::load(Span bytes, std::shared_ptr<const Model> loaded, int threads) try {
    auto encoder = std::make_shared<Encoder>();
    encoder->model = std::move(loaded);
    const Model& model = *encoder->model;
    const StoredModel stored(bytes);
    if (id_of(entry_of(stored.file.metadata, "decoder_sha256")) != model.id)
        throw std::invalid_argument("the file holds another model than before");
    const auto& tensors = stored.file.tensors;
    if (std::none_of(tensors.begin(), tensors.end(), [](const auto& item) { return is_encoders(item.first); }))
        throw std::invalid_argument("it has the decoder's half only, without tensors analysis.* and hyper_analysis.*");
    const ModelConfig& c = model.config;
    check_encoder_forms(c, tensors);
    EncoderModel& parts = encoder->parts;
    std::string found;
    parallel_for(threads, 4, [&](int64_t i) {
        if (i == 0)
            parts.analysis = stored.made("analysis.", [&](const Tensors& tensors) {
                return std::make_shared<Analysis>(c.transform(), tensors);
            });
        if (i == 1)
            parts.hyper_analysis = stored.made("hyper_analysis.", [&](const Tensors& tensors) {
                return std::make_shared<HyperAnalysis>(c.latents, c.context, c.hyper, tensors);
            });
        if (i == 2)
            parts.projection = stored.made("synthesis.", [&](const Tensors& tensors) {
                return std::make_shared<Projection>(c.latents, tensors);
            });
        if (i == 3) found = stored.digest(true);
    });
    if (found != entry_of(stored.file.metadata, "encoder_sha256"))
        throw Error(ErrorKind::kModel, "encoder_sha256 of the model does not match: the file was changed or damaged");
    parts.nets = model.nets;
    parts.tables = model.tables;
    parts.levels = model.levels();
    parts.tune = tune_of(model.tune);
    if (parts.tune == Tune::kEye) prepare_perceived_error();
    parts.synthesis = {encoder->model, model.synthesis.get()};
    return encoder;
} catch (const std::invalid_argument& error) {
    throw Error(ErrorKind::kModel, std::string("not a model this aec can run: ") + error.what());
}

}  // namespace aec
