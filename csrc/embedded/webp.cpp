#include <webp/decode.h>

#include "embedded/decoders.h"

namespace aec {

bool decode_webp(const EmbeddedPicture& picture) {
    const size_t size = picture.stride * picture.still.height;
    return WebPDecodeRGBAInto(picture.file.data, picture.file.size, static_cast<uint8_t*>(picture.pixels), size,
                              static_cast<int>(picture.stride)) != nullptr;
}

}  // namespace aec
