// What aec-encode.wasm exports beside exports.cpp: encoding, by aec.h.
#include "web/exports.h"

namespace {

// What the last call of encode has made.
std::vector<uint8_t> made;

int32_t keep(void*, const void* data, size_t size) {
    const auto* bytes = static_cast<const uint8_t*>(data);
    made.assign(bytes, bytes + size);
    return AEC_OK;
}

}  // namespace

// A packed model with both halves, or a model file. numbers: the encoder.
AEC_EXPORT(open_encoder) int32_t aec_web_open_encoder(const uint8_t* data, size_t size) {
    return aec::web::with_model_file({data, size}, [](aec::Span file) {
        aec_encoder* encoder = nullptr;
        if (aec_encoder_open_memory(file.data, file.size, 1, &encoder, &result.error) == AEC_OK)
            give(reinterpret_cast<uintptr_t>(encoder));
    });
}
AEC_EXPORT(close_encoder) void aec_web_close_encoder(aec_encoder* encoder) { aec_encoder_close(encoder); }

// pixels: uint8_t [height][width][4]. numbers: where the file is until the next call, and its size.
AEC_EXPORT(encode) int32_t aec_web_encode(const aec_encoder* encoder, const void* pixels, uint32_t width,
                                          uint32_t height, uint32_t quality, uint32_t effort, uint32_t progressive) {
    auto picture = initial(aec_picture_init);
    picture.width = width;
    picture.height = height;
    picture.channels = AEC_CHANNELS_RGBA;
    picture.depth = 8;
    picture.pixels = pixels;
    picture.stride = size_t{width} * 4;
    picture.size = picture.stride * height;
    auto options = initial(aec_encode_options_init);
    options.quality = quality;
    options.effort = effort;
    options.progressive = progressive;
    options.threads = 1;
    options.progress = report_progress;
    if (aec_encode_picture(encoder, &picture, &options, keep, nullptr, &result.error) == AEC_OK)
        give(reinterpret_cast<uintptr_t>(made.data()), made.size());
    return result.error.status;
}
