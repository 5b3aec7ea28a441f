// Decoders of the pictures inside .aec files: those of libpng, libwebp and libjpeg, where the build has them, or the
// caller's.
#pragma once

#include <functional>

#include "embedded/still.h"

namespace aec {

// A picture to be decoded into rows of red, green, blue and alpha, without gaps.
struct EmbeddedPicture {
    Still still;
    Span file;
    void* pixels;  // [height][width][4]; 0 at first
    size_t stride;  // bytes between rows
};

// Throws Error: kCorrupt if the picture is damaged, kEmbedded if it is of a kind that is not decoded.
using EmbeddedDecoder = std::function<void(const EmbeddedPicture&)>;

// Whether this build has a decoder for a kind.
bool has_decoder(StillKind kind);
void decode_embedded(const EmbeddedPicture& picture);

// One for each library. Each returns whether the picture is whole and sound.
bool decode_png(const EmbeddedPicture& picture);
bool decode_webp(const EmbeddedPicture& picture);
bool decode_jpeg(const EmbeddedPicture& picture);

}  // namespace aec
