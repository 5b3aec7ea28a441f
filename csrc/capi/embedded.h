// Pictures inside .aec files, and the caller's decoder of them.
#pragma once

#include "capi/guard.h"
#include "embedded/decoders.h"

namespace aec {

inline aec_embedded_kind kind_for_c(StillKind kind) { return static_cast<aec_embedded_kind>(kind); }
static_assert(static_cast<int>(StillKind::kPng) == AEC_EMBEDDED_PNG &&
              static_cast<int>(StillKind::kWebp) == AEC_EMBEDDED_WEBP &&
              static_cast<int>(StillKind::kJpeg) == AEC_EMBEDDED_JPEG);

// The caller's decoder of pictures inside, or the library's own.
inline EmbeddedDecoder embedded_by(aec_embedded_decoder decode, void* user) {
    if (decode == nullptr) return &decode_embedded;
    return [decode, user](const EmbeddedPicture& picture) {
        const aec_embedded_picture given = {sizeof given, kind_for_c(picture.still.kind), picture.file.data,
                                            picture.file.size, picture.still.width, picture.still.height,
                                            static_cast<uint32_t>(picture.still.depth), picture.still.cmyk,
                                            picture.pixels, picture.stride};
        if (const int32_t status = decode(user, &given))
            throw_status(status, std::string("the caller's decoder of a ") + name_of(picture.still.kind) + " picture");
    };
}

}  // namespace aec
