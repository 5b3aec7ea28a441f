// Decoders of the pictures inside .aec files (FORMAT §2.8 and §2.9) for builds without libpng and libwebp. Both give
// exactly the samples that those give: red, green, blue and alpha, not premultiplied, without any conversion of colours.
#pragma once

#include <cstdint>
#include <vector>

#include "base/span.h"

namespace aec::web {

enum class Decoded { kOk, kDamaged, kUnsupported };

// Any PNG of this size and depth, 8 or 16, after expansion of palettes and of gray of fewer bits.
// out: [height][width][4], uint8_t or uint16_t.
Decoded decode_png(Span file, uint32_t width, uint32_t height, int depth, void* out);

// A lossless still WebP of this size; kUnsupported: a lossy one. out: [height][width][4].
Decoded decode_webp_lossless(Span file, uint32_t width, uint32_t height, uint8_t* out);

}  // namespace aec::web
