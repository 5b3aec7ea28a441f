// A model that decodes, read from a model file and verified (FORMAT §7).
#pragma once

#include <memory>

#include "base/buffer.h"
#include "container/header.h"
#include "engine/nets_pack.h"
#include "engine/synthesis.h"
#include "model/forms.h"
#include "rans/rans.h"

namespace aec {

// It is not changed after it is made, so threads can share it.
class Model {
public:
    // file: a model file, which need not have the encoder's half; it may be freed afterwards. Only the hash of the
    // decoder's half is compared. threads: the most threads to use. Throws Error of kind kModel.
    static std::shared_ptr<const Model> load(Span file, int threads);

    // The id in the metadata of a model file. False: it is none.
    static bool id_in(const std::map<std::string, std::string>& metadata, ModelId& id);

    const ModelConfig config;
    const ModelId id;
    // What only encoders use: the distortion that it was trained for (tune_in), and the dead zones of the latents, by
    // index, as in choose_symbol.
    const std::string tune;
    const std::array<int16_t, kIndexCount> dead_zones;
    const std::shared_ptr<const Tables> tables;
    const std::shared_ptr<const Nets> nets;
    const std::unique_ptr<const Synthesis> synthesis;

    const std::vector<float>& levels() const { return levels_; }  // of each quality
    // Whether the synthesis needs its branch at a quality, or its shortcut is enough for such small pictures.
    bool has_branch(int quality, int shrink) const;
    // For each channel of the latents, whether the first of two passes codes it, if that codes n > 0 channels (FORMAT §8).
    std::vector<bool> first_channels(int quality, int n) const;

private:
    struct Parts;
    explicit Model(Parts&& parts);

    std::vector<float> levels_;
};

}  // namespace aec
