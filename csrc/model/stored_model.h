// A model file in memory: what is read of it for both of its halves, the decoder's and the encoder's (FORMAT §7).
#pragma once

#include <stdexcept>

#include "base/buffer.h"
#include "base/memory.h"
#include "container/header.h"
#include "engine/pack.h"
#include "model/safetensors.h"

namespace aec {

// An entry of a model file's metadata. Throws invalid_argument if it is missing.
const std::string& entry_of(const std::map<std::string, std::string>& metadata, const std::string& name);

// The model id that a SHA-256 begins with. Throws invalid_argument if it is none.
ModelId id_of(const std::string& sha256);

// The distortion that a model was trained for: "mse", "ms-ssim" or "eye". Throws invalid_argument if it is another.
const std::string& tune_in(const std::map<std::string, std::string>& metadata);

class StoredModel {
    Buffer<uint8_t> copy_;  // of a file that is not aligned as its tensors need

public:
    // bytes: must outlive it. Throws invalid_argument if it is no model for pictures.
    explicit StoredModel(Span bytes);

    // SHA-256 over the configuration, and the name, type, shape and bytes of a half's tensors in the order of names.
    std::string digest(bool encoders) const;
    // The tensors of a network as the engine takes them. Those of int8 are widened.
    struct Net {
        Tensors tensors;
        Vector<Vector<int16_t>> widened;  // what some of them point into
    };
    // Those whose names begin with `prefix`, without it.
    Net net(const std::string& prefix) const;
    // Returns make(the tensors of `net(prefix)`). What it throws names a tensor, and here gets the prefix back.
    template <class Make>
    auto made(const std::string& prefix, Make make) const {
        const Net found = net(prefix);
        try {
            return make(found.tensors);
        } catch (const std::invalid_argument& error) {
            throw std::invalid_argument(prefix + error.what());
        }
    }

    const Safetensors file;
};

}  // namespace aec
