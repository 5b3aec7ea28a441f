#include <webp/decode.h>
#include <webp/encode.h>

#include <new>
#include <stdexcept>
#include <utility>

#include "embedded/decoders.h"
#include "embedded/encoders.h"

namespace aec {

bool decode_webp(const EmbeddedPicture& picture) {
    const size_t size = picture.stride * picture.still.height;
    return WebPDecodeRGBAInto(picture.file.data, picture.file.size, static_cast<uint8_t*>(picture.pixels), size,
                              static_cast<int>(picture.stride)) != nullptr;
}

namespace {

// The WebP of a tile's alpha, with black colours.
ByteString encoded(const uint8_t* samples, uint32_t width, uint32_t height, const WebPConfig& config) {
    struct Picture : WebPPicture {
        ~Picture() { WebPPictureFree(this); }
    } picture{};
    struct Writer : WebPMemoryWriter {
        Writer() { WebPMemoryWriterInit(this); }
        ~Writer() { WebPMemoryWriterClear(this); }
    } writer;
    if (!WebPPictureInit(&picture)) throw std::runtime_error("libwebp is of another version");
    picture.use_argb = 1;
    picture.width = static_cast<int>(width);
    picture.height = static_cast<int>(height);
    picture.writer = &WebPMemoryWrite;
    picture.custom_ptr = &writer;
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

WebPConfig plain_config() {
    WebPConfig config;
    if (!WebPConfigInit(&config)) throw std::runtime_error("libwebp is of another version");
    return config;
}

// Lossless, which is always smaller than the alpha chunk of a lossy WebP, because of the latter's overhead.
ByteString lossless(const uint8_t* samples, uint32_t width, uint32_t height) {
    WebPConfig config = plain_config();
    config.lossless = config.exact = 1;
    config.quality = 80;
    return encoded(samples, width, height, config);
}

// The samples with as many levels as libwebp leaves them at a quality: those of a lossy WebP.
Vector<uint8_t> with_fewer_levels(const uint8_t* samples, uint32_t width, uint32_t height, int quality) {
    WebPConfig config = plain_config();
    config.quality = 0;
    config.alpha_quality = quality;
    const ByteString file = encoded(samples, width, height, config);
    Vector<uint8_t> pixels(size_t{4} * width * height), alpha(size_t{width} * height);
    if (WebPDecodeRGBAInto(reinterpret_cast<const uint8_t*>(file.data()), file.size(), pixels.data(), pixels.size(),
                           static_cast<int>(4 * width)) == nullptr)
        throw std::bad_alloc();  // the file is libwebp's own
    for (size_t i = 0; i < alpha.size(); ++i) alpha[i] = pixels[4 * i + 3];
    return alpha;
}

}  // namespace

ByteString encode_webp_alpha(const uint8_t* samples, uint32_t width, uint32_t height, int quality) {
    ByteString best = lossless(samples, width, height);
    if (quality == 100) return best;
    ByteString fewer = lossless(with_fewer_levels(samples, width, height, quality).data(), width, height);
    return fewer.size() < best.size() ? std::move(fewer) : std::move(best);
}

}  // namespace aec
