// The tensors of a model: their names, types and shapes (FORMAT §7), and rules for their values that the engine does not
// check. codec/coding/model_tensors.py is its twin.
#pragma once

#include "engine/program.h"
#include "model/safetensors.h"

namespace aec {

// The sizes of all networks of a model.
struct ModelConfig {
    int latents = 0, hyper = 0, wide8 = 0, blocks8 = 0, wide16 = 0, blocks16 = 0, context = 0, steps = 0;

    // Parses the entry `aec_model` of a model file's metadata. Throws invalid_argument.
    static ModelConfig of(const std::string& json);
    NetsConfig nets() const { return {latents, hyper, context, steps}; }
    TransformConfig transform() const { return {latents, wide8, blocks8, wide16, blocks16}; }
    int halo() const { return transform().halo(); }
};

// Whether only encoders need the tensor.
bool is_encoders(const std::string& tensor);

// Checks names, types and shapes of the decoder's half, the units of the synthesis, and the levels. Throws
// invalid_argument.
void check_forms(const ModelConfig& config, const std::map<std::string, StoredTensor>& tensors);

// Checks names, types and shapes of the encoder's half. Throws invalid_argument.
void check_encoder_forms(const ModelConfig& config, const std::map<std::string, StoredTensor>& tensors);

}  // namespace aec
