// What the WebAssembly modules export to csrc/web/package/core.js for decoding.
#include "web/exports.h"

#include <algorithm>

#include "web/embedded.h"

// Imported from JavaScript. progress: not 0 to stop. decoded_picture: fills 8-bit pixels with those of a stored picture
// that JavaScript has had decoded before; 0 if it has none.
extern "C" {
__attribute__((import_module("aec"), import_name("progress"))) int32_t aec_web_progress(double share);
__attribute__((import_module("aec"), import_name("decoded_picture"))) int32_t aec_web_decoded_picture(
    void* pixels, uint32_t width, uint32_t height);
}

// In place of that of libc++abi, which brings all of printf into the module and prints to a console that is not there.
extern "C" [[noreturn]] void abort_message(const char*, ...) { __builtin_trap(); }

namespace {

void give_info(const aec_info& info) {
    const uint8_t* const id = info.model_id;
    give(info.width, info.height, info.depth, info.gray, info.alpha, info.quality, info.needs_model, info.stored,
         info.exact, info.mapped, info.tile, info.tiles, info.parts, info.first,
         static_cast<uint32_t>(id[0]) << 24 | id[1] << 16 | id[2] << 8 | id[3]);
}

int32_t decode_embedded(void*, const aec_embedded_picture* picture) {
    using namespace aec;
    const Span file = {picture->data, picture->size};
    web::Decoded decoded = web::Decoded::kUnsupported;
    if (picture->kind == AEC_EMBEDDED_PNG)
        decoded = web::decode_png(file, picture->width, picture->height, static_cast<int>(picture->depth),
                                  picture->pixels);
    else if (picture->kind == AEC_EMBEDDED_WEBP)
        decoded = web::decode_webp_lossless(file, picture->width, picture->height,
                                            static_cast<uint8_t*>(picture->pixels));
    if (decoded == web::Decoded::kDamaged) return AEC_ERROR_CORRUPT;
    if (decoded == web::Decoded::kOk || aec_web_decoded_picture(picture->pixels, picture->width, picture->height))
        return AEC_OK;
    return AEC_ERROR_EMBEDDED;
}

aec_decode_options options_of(uint32_t x, uint32_t y, uint32_t width, uint32_t height, uint32_t shrink, uint32_t depth,
                              uint32_t channels) {
    auto options = initial(aec_decode_options_init);
    options.x = x;
    options.y = y;
    options.width = width;
    options.height = height;
    options.shrink = shrink;
    options.depth = depth;
    options.channels = channels;
    options.threads = 1;
    options.progress = report_progress;
    options.embedded = decode_embedded;
    return options;
}

}  // namespace

Result result;

int32_t report_progress(void*, double share) { return aec_web_progress(share); }

AEC_EXPORT(result) Result* aec_web_result() { return &result; }
AEC_EXPORT(version) const char* aec_web_version() { return aec_version(); }

AEC_EXPORT(read_info) int32_t aec_web_read_info(const uint8_t* data, size_t size) {
    auto info = initial(aec_info_init);
    if (aec_read_info(data, size, &info, &result.error) == AEC_OK) give_info(info);
    return result.error.status;
}

// numbers: the file. The data must stay until it is closed.
AEC_EXPORT(open) int32_t aec_web_open(const uint8_t* data, size_t size, int32_t partial, uint32_t max_pixels) {
    auto options = initial(aec_open_options_init);
    options.allow_partial = partial;
    options.max_pixels = max_pixels;
    aec_file* file = nullptr;
    if (aec_open_memory(data, size, &options, &file, &result.error) == AEC_OK)
        give(reinterpret_cast<uintptr_t>(file));
    return result.error.status;
}
AEC_EXPORT(close) void aec_web_close(aec_file* file) { aec_close(file); }

// numbers: the bytes of the beginning that holds the parts 0..part.
AEC_EXPORT(stage) int32_t aec_web_stage(const aec_file* file, uint32_t part) {
    uint64_t bytes = 0;
    if (aec_get_stage(file, part, &bytes, &result.error) == AEC_OK) give(std::min<uint64_t>(bytes, UINT32_MAX));
    return result.error.status;
}

// numbers: where the block is, and its size.
AEC_EXPORT(metadata) int32_t aec_web_metadata(const aec_file* file, int32_t kind) {
    const uint8_t* data = nullptr;
    size_t size = 0;
    if (aec_get_metadata(file, kind, &data, &size, &result.error) == AEC_OK)
        give(reinterpret_cast<uintptr_t>(data), size);
    return result.error.status;
}

AEC_EXPORT(missing_count) uint32_t aec_web_missing_count(const aec_file* file) {
    return static_cast<uint32_t>(std::min<uint64_t>(aec_missing_count(file), UINT32_MAX));
}
// numbers: what, x, y, width, height, parts, of, kind.
AEC_EXPORT(missing) int32_t aec_web_missing(const aec_file* file, uint32_t i) {
    auto one = initial(aec_missing_init);
    if (aec_get_missing(file, i, &one, &result.error) == AEC_OK)
        give(one.what, one.x, one.y, one.width, one.height, one.parts, one.of, one.kind);
    return result.error.status;
}

// numbers: where the stored picture is, its size, and its kind: an aec_embedded_kind.
AEC_EXPORT(embedded) int32_t aec_web_embedded(const aec_file* file) {
    const uint8_t* data = nullptr;
    size_t size = 0;
    aec_embedded_kind kind = AEC_EMBEDDED_NONE;
    if (aec_get_embedded(file, &data, &size, &kind, &result.error) == AEC_OK)
        give(reinterpret_cast<uintptr_t>(data), size, kind);
    return result.error.status;
}

// A packed model, or a model file. numbers: the model, and its id.
AEC_EXPORT(open_model) int32_t aec_web_open_model(const uint8_t* data, size_t size) {
    return aec::web::with_model_file({data, size}, [](aec::Span file) {
        aec_model* model = nullptr;
        if (aec_model_open_memory(file.data, file.size, 1, &model, &result.error) != AEC_OK) return;
        uint8_t id[4];
        aec_model_get_id(model, id);
        give(reinterpret_cast<uintptr_t>(model), static_cast<uint32_t>(id[0]) << 24 | id[1] << 16 | id[2] << 8 | id[3]);
    });
}
AEC_EXPORT(close_model) void aec_web_close_model(aec_model* model) { aec_model_close(model); }

// numbers: width, height, channels, depth and bytes of what decode writes.
AEC_EXPORT(pixels) int32_t aec_web_pixels(const aec_file* file, uint32_t x, uint32_t y, uint32_t width, uint32_t height,
                                  uint32_t shrink, uint32_t depth, uint32_t channels) {
    const auto options = options_of(x, y, width, height, shrink, depth, channels);
    auto size = initial(aec_pixels_init);
    if (aec_get_pixels(file, &options, &size, &result.error) == AEC_OK)
        give(size.width, size.height, size.channels, size.depth, std::min<uint64_t>(size.bytes, UINT32_MAX));
    return result.error.status;
}

AEC_EXPORT(decode) int32_t aec_web_decode(const aec_file* file, const aec_model* model, uint32_t x, uint32_t y,
                                          uint32_t width, uint32_t height, uint32_t shrink, uint32_t depth,
                                          uint32_t channels, void* out, size_t stride, size_t size) {
    const auto options = options_of(x, y, width, height, shrink, depth, channels);
    return aec_decode_picture(file, model, &options, out, stride, size, &result.error);
}
