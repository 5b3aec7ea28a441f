#include <webp/decode.h>
#include <webp/encode.h>

#include <new>
#include <stdexcept>
#include <vector>

#include "embedded/decoders.h"
#include "embedded/encoders.h"

namespace aec {

bool decode_webp(const EmbeddedPicture& picture) {
    const size_t size = picture.stride * picture.still.height;
    return WebPDecodeRGBAInto(picture.file.data, picture.file.size, static_cast<uint8_t*>(picture.pixels), size,
                              static_cast<int>(picture.stride)) != nullptr;
}

ByteString encode_webp_alpha(const uint8_t* samples, uint32_t width, uint32_t height) {
    struct Picture : WebPPicture {
        ~Picture() { WebPPictureFree(this); }
    } picture{};
    struct Writer : WebPMemoryWriter {
        Writer() { WebPMemoryWriterInit(this); }
        ~Writer() { WebPMemoryWriterClear(this); }
    } writer;
    WebPConfig config;
    if (!WebPConfigInit(&config) || !WebPPictureInit(&picture))
        throw std::runtime_error("libwebp is of another version");
    config.lossless = config.exact = 1;
    config.quality = 80;
    picture.use_argb = 1;
    picture.width = static_cast<int>(width);
    picture.height = static_cast<int>(height);
    picture.writer = &WebPMemoryWrite;
    picture.custom_ptr = &writer;
    // Lossless, which is always smaller than the alpha chunk of a lossy WebP, because of the latter's overhead.
    if (!WebPPictureAlloc(&picture)) throw std::bad_alloc();
    for (uint32_t y = 0; y < height; ++y)
        for (uint32_t x = 0; x < width; ++x)
            picture.argb[size_t{y} * picture.argb_stride + x] = uint32_t{samples[size_t{y} * width + x]} << 24;
    if (!WebPEncode(&config, &picture)) {
        const WebPEncodingError error = picture.error_code;
        // A write fails only where the writer finds no memory.
        if (error == VP8_ENC_ERROR_OUT_OF_MEMORY || error == VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY ||
            error == VP8_ENC_ERROR_BAD_WRITE)
            throw std::bad_alloc();
        throw std::runtime_error("libwebp has failed with error " + std::to_string(error));
    }
    return {reinterpret_cast<const char*>(writer.mem), writer.size};
}

}  // namespace aec
