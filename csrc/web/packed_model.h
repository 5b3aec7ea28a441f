// Unpacks the model files that pages fetch. codec/coding/packed_model.py packs them, and describes their format.
#pragma once

#include <vector>

#include "base/error.h"
#include "base/span.h"

namespace aec::web {

// Whether the data begins as a packed model does.
bool is_packed_model(Span data);

// Returns the bytes of a model file without the encoder's half. Throws Error of kind kModel. What it makes is not
// verified: Model::load compares its hash.
std::vector<uint8_t> unpack_model(Span packed);

}  // namespace aec::web
