// A model that encodes, read from a model file and verified (FORMAT §7).
#pragma once

#include "model/model.h"
#include "tile/encode_tile.h"

namespace aec {

// It is not changed after it is made, so threads can share it.
struct Encoder {
    // file: a whole model file, which may be freed afterwards. Both hashes are compared. threads: the most threads to
    // use. Throws Error of kind kModel, also if the file has the decoder's half only.
    static std::shared_ptr<const Encoder> load(Span file, int threads);
    // The same of a file whose decoder's half is loaded already. Throws as well if the file is of another model.
    static std::shared_ptr<const Encoder> load(Span file, std::shared_ptr<const Model> model, int threads);

    std::shared_ptr<const Model> model;
    EncoderModel parts;
};

}  // namespace aec
