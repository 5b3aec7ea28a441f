// The functions of aec.h that encode: arguments checked, exceptions turned into statuses, and nothing else.
#include "capi/encode_input.h"
#include "capi/model_options.h"
#include "embedded/encoders.h"
#include "model/files.h"
#include "picture/decode.h"

struct aec_encoder {
    aec::OwnMemory memory;
    std::shared_ptr<const aec::Encoder> encoder;
};

namespace aec {
namespace {

aec_encode_options default_options() {
    aec_encode_options options = {};
    options.struct_size = sizeof options;
    options.quality = 75;
    options.effort = 2;
    options.tile = 1024;
    return options;
}

// The alpha of an area, [height][width], and whether it is opaque.
bool copy_alpha(const SampleView& samples, const Area& area, Vector<uint8_t>& out) {
    const size_t bytes = samples.depth / 8;
    out.resize(size_t{area.width} * area.height * bytes);
    uint8_t* to = out.data();
    bool is_opaque = true;
    for (uint32_t y = area.y; y < area.bottom(); ++y)
        for (uint32_t x = area.x; x < area.right(); ++x) {
            const uint8_t* from =
                samples.alpha + ptrdiff_t{y} * samples.alpha_row + ptrdiff_t{x} * samples.alpha_column;
            for (size_t i = 0; i < bytes; ++i) {
                is_opaque &= from[i] == 255;
                *to++ = from[i];
            }
        }
    return is_opaque;
}

// What the encoder of alpha has written for a tile.
struct Written {
    ByteString bytes;
    int calls = 0;
};

int32_t take(void* user, const void* data, size_t size) noexcept {
    auto& written = *static_cast<Written*>(user);
    if (++written.calls > 1 || data == nullptr) return AEC_ERROR_ARGUMENT;
    try {
        written.bytes.assign(static_cast<const char*>(data), size);
        return AEC_OK;
    } catch (...) {
        return AEC_ERROR_MEMORY;
    }
}

// The alpha of a tile, coded by the caller, and checked as a decoder will.
ByteString coded_alpha(const aec_encode_options& options, const Area& area, int depth,
                        const Vector<uint8_t>& alpha) {
    Written written;
    const aec_alpha_tile tile = {sizeof tile,
                                 area.width,
                                 area.height,
                                 static_cast<uint32_t>(depth),
                                 alpha.data(),
                                 size_t{area.width} * (depth / 8),
                                 &take,
                                 &written};
    if (const int32_t status = options.alpha(options.alpha_user, &tile)) throw_status(status, "the encoder of alpha");
    require(written.calls == 1,
            "the encoder of alpha has written " + std::to_string(written.calls) + " times: once is needed");
    try {
        still_of_alpha({reinterpret_cast<const uint8_t*>(written.bytes.data()), written.bytes.size()}, area, depth);
    } catch (const Error& e) {
        throw std::invalid_argument(std::string("the encoder of alpha has written ") + e.what());
    }
    return std::move(written.bytes);
}

constexpr int kExactAlpha = 100;

// 0 is what a program has there whose library was too old to know the field when it initialised the options.
int alpha_quality_of(const aec_encode_options& options) {
    return options.alpha_quality == 0 ? kExactAlpha : int_of(options.alpha_quality);
}

// The coded alpha of each tile; none if the picture is opaque.
Vector<ByteString> alphas_of(const SampleView& samples, uint32_t side, const aec_encode_options& options) {
    Header tiles;
    tiles.width = samples.width;
    tiles.height = samples.height;
    tiles.tile = side;
    Vector<ByteString> coded(tiles.n_tiles());
    Vector<uint8_t> alpha;
    bool is_opaque = true;
    for (uint64_t i = 0; i < coded.size(); ++i) {
        const Area area = tiles.area_of(i);
        if (copy_alpha(samples, area, alpha)) continue;
        is_opaque = false;
        coded[i] = options.alpha != nullptr ? coded_alpha(options, area, samples.depth, alpha)
                                            : encode_alpha(alpha.data(), area.width, area.height, samples.depth,
                                                           alpha_quality_of(options));
    }
    if (is_opaque) coded.clear();
    return coded;
}

ByteString encoded(const Encoder& encoder, const aec_picture& picture, const aec_encode_options& options) {
    SampleView samples = samples_of(picture);
    EncodeSettings settings;
    settings.quality = int_of(options.quality);
    settings.effort = int_of(options.effort);
    settings.progressive = options.progressive != 0;
    settings.tile = options.tile;
    settings.threads = threads_of(options.threads);
    require(options.map.data != nullptr || options.map.size == 0, "map is NULL");
    const auto* map = static_cast<const uint8_t*>(options.map.data);
    settings.map.assign(map, map + options.map.size);
    settings.progress = progress_of(options.progress, options.progress_user);
    const std::array<Span, kKindCount> metadata = metadata_of(options.metadata, samples.depth);
    check_tile(settings.tile);
    require(options.alpha_quality <= 100,
            "alpha_quality is " + std::to_string(options.alpha_quality) + ": expected 0 to 100");
    require(options.alpha == nullptr || alpha_quality_of(options) == kExactAlpha,
            "alpha_quality is " + std::to_string(options.alpha_quality) + ": the function that codes alpha chooses");
    Vector<ByteString> alphas;
    if (samples.alpha != nullptr) alphas = alphas_of(samples, settings.tile, options);
    if (alphas.empty()) samples.alpha = nullptr;
    return encode_picture(encoder, samples, settings, alphas, metadata);
}

// A program for browsers links this, and not `encoder_of`.
std::shared_ptr<const Encoder> encoder_in_memory(const aec_model_options& options) {
    check_source(options);
    return Encoder::load(memory_span(options), threads_of(options.threads));
}

std::shared_ptr<const Encoder> encoder_of(const aec_model_options& options) {
    require(options.id == nullptr, "an id: an encoder is opened by a path or from memory");
    if (options.path == nullptr) return encoder_in_memory(options);
    check_source(options);
    const Vector<uint8_t> file = read_file(options.path);
    return Encoder::load({file.data(), file.size()}, threads_of(options.threads));
}

}  // namespace
}  // namespace aec

using namespace aec;

extern "C" {

void aec_encode_options_init(aec_encode_options* options, size_t struct_size) {
    init(options, struct_size, default_options());
}
void aec_picture_init(aec_picture* picture, size_t struct_size) { init(picture, struct_size, aec_picture{}); }

int32_t aec_has_alpha_encoder(uint32_t depth) { return has_alpha_encoder(int_of(depth)); }

aec_status aec_encoder_open(const aec_model_options* options, aec_encoder** encoder, aec_error* error) {
    return guarded(error, [&] { open_handle(given_options(options), encoder_of, encoder, "encoder"); });
}

aec_status aec_encoder_open_memory(const void* data, size_t size, uint32_t threads, aec_encoder** encoder,
                                   aec_error* error) {
    return guarded(
        error, [&] { open_handle(options_for(data, size, threads), encoder_in_memory, encoder, "encoder"); });
}

aec_status aec_encoder_open_path(const char* path, uint32_t threads, aec_encoder** encoder, aec_error* error) {
    return guarded(error, [&] { open_handle(options_for(path, threads), encoder_of, encoder, "encoder"); });
}

void aec_encoder_close(aec_encoder* encoder) { delete encoder; }

void aec_encoder_get_id(const aec_encoder* encoder, uint8_t* id) {
    if (encoder == nullptr || id == nullptr) return;
    const ModelId& its = encoder->encoder->model->id;
    std::copy(its.begin(), its.end(), id);
}

aec_status aec_encode_picture(const aec_encoder* encoder, const aec_picture* picture, const aec_encode_options* options,
                              aec_write write, void* write_user, aec_error* error) {
    return guarded(error, [&] {
        require(encoder != nullptr && picture != nullptr && write != nullptr, "encoder, picture or write is NULL");
        const MemoryScope scope(encoder->memory.get());
        const ByteString file = encoded(*encoder->encoder, options_of(picture, aec_picture{}, "picture"),
                                         options_of(options, default_options(), "options"));
        write_out(file, write, write_user);
    });
}

}  // extern "C"
