// Encoders of the alpha channels of tiles (FORMAT §2.8). codec/picture/alpha.py has the same rules.
#pragma once

#include <string>

#include "base/memory.h"
#include "base/span.h"

namespace aec {

// Whether this build has an encoder for alpha of a depth, 8 or 16.
bool has_alpha_encoder(int depth);

// The alpha of a tile of width x height pixels. samples: [height][width], without gaps, 16 bits in the machine's byte
// order. The result is a WebP of 8 bits, made by libwebp, or a gray PNG of 16. quality: 100 keeps the samples exactly;
// 0..99 reduce the number of levels of 8 bits, as libwebp chooses them, where that is smaller. Throws Error of kind
// kEmbedded if this build has no encoder for the depth.
ByteString encode_alpha(const uint8_t* samples, uint32_t width, uint32_t height, int depth, int quality);

// By libwebp, in builds that have it.
ByteString encode_webp_alpha(const uint8_t* samples, uint32_t width, uint32_t height, int quality);

}  // namespace aec
