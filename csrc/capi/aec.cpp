// The functions of aec.h: arguments checked, exceptions turned into statuses, and nothing else.
#include "capi/embedded.h"
#include "capi/model_options.h"

#include <cstdlib>
#include <optional>

#include "base/parallel.h"
#include "model/files.h"
#include "picture/decode.h"

struct aec_file {
    aec_file(aec::OwnMemory own_memory, aec::Vector<uint8_t> owned_data, aec::Span span, const aec::Limits& limits,
             bool allow_partial)
        : memory(std::move(own_memory)),
          owned(std::move(owned_data)),
          layout(owned.empty() ? span : aec::Span{owned.data(), owned.size()}, limits, allow_partial) {}

    const aec::OwnMemory memory;  // of all that follows, and of the work on the file
    const aec::Vector<uint8_t> owned;  // of a file that was opened by its path
    const aec::Layout layout;
    std::vector<aec_missing> missing;
    mutable aec::Mutex mutex;                                               // of `metadata`
    mutable std::optional<aec::Vector<uint8_t>> metadata[aec::kKindCount];  // the blocks that were asked for
};

struct aec_model {
    aec::OwnMemory memory;
    std::shared_ptr<const aec::Model> model;
};

namespace {

using namespace aec;

aec_open_options default_open_options() { return {sizeof(aec_open_options), kDefaultMaxPixels, kMaxSide, 0, nullptr}; }

aec_decode_options default_decode_options() {
    aec_decode_options options = {};
    options.struct_size = sizeof options;
    options.shrink = 1;
    return options;
}

aec_info info_of(const Header& header) {
    aec_info info = {};
    info.width = header.width;
    info.height = header.height;
    info.depth = header.depth;
    info.gray = header.gray;
    info.alpha = header.alpha;
    info.quality = header.quality;
    info.needs_model = header.by_network();
    info.stored = header.stored;
    info.exact = header.exact;
    info.mapped = header.mapped;
    info.tile = header.stored ? 0 : header.tile;
    info.tiles = static_cast<uint32_t>(header.n_tiles());
    info.parts = header.parts;
    info.first = header.first;
    std::copy(header.model_id.begin(), header.model_id.end(), info.model_id);
    return info;
}

std::vector<aec_missing> missing_of(const Layout& layout) {
    const Header& header = layout.header();
    std::vector<aec_missing> found;
    const auto add = [&](aec_missing_what what, const Area& area, int parts, int of, int kind) {
        found.push_back({sizeof(aec_missing), static_cast<uint32_t>(what), area.x, area.y, area.width, area.height,
                         static_cast<uint32_t>(parts), static_cast<uint32_t>(of), static_cast<uint32_t>(kind)});
    };
    for (uint64_t tile = 0; tile < header.n_tiles(); ++tile) {
        const Area area = header.area_of(tile);
        if (const int whole = layout.whole_parts(tile); whole < header.parts)
            add(AEC_MISSING_COLOURS, area, whole, header.parts, 0);
        if (header.alpha_apart() && layout.alpha_state(tile) != Presence::kWhole) add(AEC_MISSING_ALPHA, area, 0, 1, 0);
    }
    for (int kind = 0; kind < kKindCount; ++kind)
        if (const Kind k = static_cast<Kind>(kind); layout.has(k) && layout.metadata_state(k) != Presence::kWhole)
            add(AEC_MISSING_METADATA, {0, 0, header.width, header.height}, 0, 1, kind);
    return found;
}

// path: null for a file in memory, which is `span`.
void open_file(const char* path, Span span, const aec_open_options* given, aec_file** file) {
    const aec_open_options options = options_of(given, default_open_options(), "options");
    const bool partial = options.allow_partial != 0;
    const Limits limits = {options.max_pixels, options.max_side};
    OwnMemory memory = memory_of(options.allocator);
    const MemoryScope scope(memory.get());
    Vector<uint8_t> owned;
    if (path != nullptr) owned = read_file(path);
    auto made = std::make_unique<aec_file>(std::move(memory), std::move(owned), span, limits, partial);
    if (partial) made->missing = missing_of(made->layout);
    *file = made.release();
}

// A block of metadata, which is inflated when it is asked for first; no data if the file does not have it.
Span metadata_of(const aec_file& file, Kind kind) {
    if (!file.layout.has(kind) || file.layout.metadata_state(kind) != Presence::kWhole) return {};
    const std::lock_guard<Mutex> lock(file.mutex);
    const MemoryScope scope(file.memory.get());
    auto& block = file.metadata[kind];
    if (!block) block = file.layout.metadata(kind);
    return {block->data(), block->size()};
}

// What aec_decode_picture is to make.
struct Request {
    Area region;
    Canvas canvas;  // without its memory
};

Request request_of(const Header& header, const aec_decode_options& options) {
    const bool whole = options.width == 0 && options.height == 0 && options.x == 0 && options.y == 0;
    const Area region = whole ? Area{0, 0, header.width, header.height}
                              : Area{options.x, options.y, options.width, options.height};
    require(region.width > 0 && region.height > 0 && uint64_t{region.x} + region.width <= header.width &&
                uint64_t{region.y} + region.height <= header.height,
            "region of " + std::to_string(options.width) + "x" + std::to_string(options.height) + " at (" +
                std::to_string(options.x) + ", " + std::to_string(options.y) + "): must be within the picture of " +
                std::to_string(header.width) + "x" + std::to_string(header.height));
    const uint32_t s = options.shrink;
    require(s == 1 || s == 2 || s == 4 || s == 8, "shrink is " + std::to_string(s) + ": allowed are 1, 2, 4 and 8");
    require(options.depth == 0 || options.depth == 8 || options.depth == 16,
            "depth is " + std::to_string(options.depth) + ": allowed are 0, 8 and 16");
    require(options.channels <= 4, "channels is " + std::to_string(options.channels) + ": allowed are 0 to 4");
    const bool gray_wanted = options.channels == AEC_CHANNELS_GRAY || options.channels == AEC_CHANNELS_GRAY_ALPHA;
    require(header.gray || !gray_wanted, "gray channels of a picture in colour: allowed are RGB and RGBA");
    const int channels = options.channels ? static_cast<int>(options.channels) : (header.gray ? 1 : 3) + header.alpha;
    const uint32_t left = region.x / s, top = region.y / s;
    return {region,
            {nullptr, 0, channels, options.depth ? static_cast<int>(options.depth) : header.depth, static_cast<int>(s),
             left, top, (region.right() + s - 1) / s - left, (region.bottom() + s - 1) / s - top}};
}

uint64_t row_bytes_of(const Canvas& canvas) { return uint64_t{canvas.width} * canvas.channels * (canvas.depth / 8); }

static_assert(kIcc == static_cast<int>(AEC_METADATA_ICC) && kExtra == static_cast<int>(AEC_METADATA_EXTRA));

std::string default_folders() {
    const char* named = std::getenv("AEC_MODELS");
#ifdef _WIN32
    const char* separator = ";";
#else
    const char* separator = ":";
#endif
    return named != nullptr && *named != 0 ? std::string(named) + separator + AEC_MODEL_FOLDER : AEC_MODEL_FOLDER;
}

// A program for browsers links this, and not `model_of`.
std::shared_ptr<const Model> model_in_memory(const aec_model_options& options) {
    check_source(options);
    return Model::load(memory_span(options), threads_of(options.threads));
}

std::shared_ptr<const Model> model_of(const aec_model_options& options) {
    if (options.path == nullptr && options.id == nullptr) return model_in_memory(options);
    check_source(options);
    const int threads = threads_of(options.threads);
    if (options.path != nullptr) return load_model(options.path, threads);
    ModelId wanted;
    std::copy_n(options.id, wanted.size(), wanted.begin());
    return find_model(wanted, options.folders != nullptr ? options.folders : default_folders(), threads);
}

}  // namespace

extern "C" {

uint32_t aec_abi_version(void) { return AEC_ABI_VERSION; }
const char* aec_version(void) { return AEC_VERSION; }

const char* aec_status_name(int32_t status) {
    switch (status) {
        case AEC_OK: return "ok";
        case AEC_ERROR_NOT_AEC: return "not an .aec file";
        case AEC_ERROR_VERSION: return "unsupported version";
        case AEC_ERROR_TRUNCATED: return "truncated file";
        case AEC_ERROR_CORRUPT: return "corrupt file";
        case AEC_ERROR_LIMIT: return "beyond a limit";
        case AEC_ERROR_MODEL: return "no usable model";
        case AEC_ERROR_EMBEDDED: return "unsupported embedded picture";
        case AEC_ERROR_ARGUMENT: return "invalid argument";
        case AEC_ERROR_MEMORY: return "out of memory";
        case AEC_ERROR_IO: return "unreadable file";
        case AEC_ERROR_CANCELLED: return "cancelled";
        case AEC_ERROR_INTERNAL: return "internal error";
    }
    return "unknown status";
}

void aec_open_options_init(aec_open_options* options, size_t struct_size) {
    init(options, struct_size, default_open_options());
}
void aec_info_init(aec_info* info, size_t struct_size) { init(info, struct_size, aec_info{}); }
void aec_missing_init(aec_missing* missing, size_t struct_size) { init(missing, struct_size, aec_missing{}); }
void aec_pixels_init(aec_pixels* pixels, size_t struct_size) { init(pixels, struct_size, aec_pixels{}); }
void aec_decode_options_init(aec_decode_options* options, size_t struct_size) {
    init(options, struct_size, default_decode_options());
}

aec_status aec_read_info(const void* data, size_t size, aec_info* info, aec_error* error) {
    return guarded(error, [&] {
        require(data != nullptr || size == 0, "data is NULL");
        size_t end = 0;
        const Limits none = {UINT64_MAX, kMaxSide};
        give(info, info_of(read_head({static_cast<const uint8_t*>(data), size}, none, end)), "info");
    });
}

aec_status aec_open_memory(const void* data, size_t size, const aec_open_options* options, aec_file** file,
                           aec_error* error) {
    return guarded(error, [&] {
        require(file != nullptr, "file is NULL");
        require(data != nullptr || size == 0, "data is NULL");
        open_file(nullptr, {static_cast<const uint8_t*>(data), size}, options, file);
    });
}

aec_status aec_open_path(const char* path, const aec_open_options* options, aec_file** file, aec_error* error) {
    return guarded(error, [&] {
        require(path != nullptr && file != nullptr, "path or file is NULL");
        open_file(path, {}, options, file);
    });
}

void aec_close(aec_file* file) { delete file; }

aec_status aec_get_info(const aec_file* file, aec_info* info, aec_error* error) {
    return guarded(error, [&] {
        require(file != nullptr, "file is NULL");
        give(info, info_of(file->layout.header()), "info");
    });
}

aec_status aec_get_stage(const aec_file* file, uint32_t part, uint64_t* bytes, aec_error* error) {
    return guarded(error, [&] {
        require(file != nullptr && bytes != nullptr, "file or bytes is NULL");
        const int parts = file->layout.header().parts;
        require(part < static_cast<uint32_t>(parts),
                "part is " + std::to_string(part) + ": the file has " + std::to_string(parts));
        *bytes = file->layout.stage_bytes(static_cast<int>(part));
    });
}

aec_status aec_get_metadata(const aec_file* file, aec_metadata_kind kind, const uint8_t** data, size_t* size,
                            aec_error* error) {
    return guarded(error, [&] {
        require(file != nullptr && data != nullptr && size != nullptr, "file, data or size is NULL");
        require(kind >= 0 && kind < kKindCount, "metadata of kind " + std::to_string(kind) + ", which is unknown");
        const Span found = metadata_of(*file, static_cast<Kind>(kind));
        *data = found.data;
        *size = found.size;
    });
}

aec_status aec_get_extra(const aec_file* file, const char* type, const uint8_t** data, size_t* size,
                         aec_error* error) {
    return guarded(error, [&] {
        require(file != nullptr && type != nullptr && data != nullptr && size != nullptr,
                "file, type, data or size is NULL");
        const MemoryScope scope(file->memory.get());
        Span found;
        for (const ExtraBlock& block : extra_blocks(metadata_of(*file, kExtra)))
            if (block.type == type) found = block.data;
        *data = found.data;
        *size = found.size;
    });
}

uint64_t aec_missing_count(const aec_file* file) { return file == nullptr ? 0 : file->missing.size(); }

aec_status aec_get_missing(const aec_file* file, uint64_t i, aec_missing* missing, aec_error* error) {
    return guarded(error, [&] {
        require(file != nullptr, "file is NULL");
        require(i < file->missing.size(),
                "number " + std::to_string(i) + ": " + std::to_string(file->missing.size()) + " things are missing");
        give(missing, file->missing[i], "missing");
    });
}

void aec_model_options_init(aec_model_options* options, size_t struct_size) {
    init(options, struct_size, default_model_options());
}

aec_status aec_model_open(const aec_model_options* options, aec_model** model, aec_error* error) {
    return guarded(error, [&] { open_handle(given_options(options), model_of, model, "model"); });
}

aec_status aec_model_open_memory(const void* data, size_t size, uint32_t threads, aec_model** model,
                                 aec_error* error) {
    return guarded(error, [&] { open_handle(options_for(data, size, threads), model_in_memory, model, "model"); });
}

aec_status aec_model_open_path(const char* path, uint32_t threads, aec_model** model, aec_error* error) {
    return guarded(error, [&] { open_handle(options_for(path, threads), model_of, model, "model"); });
}

aec_status aec_model_find(const uint8_t* id, const char* folders, uint32_t threads, aec_model** model,
                          aec_error* error) {
    return guarded(error, [&] {
        require(id != nullptr, "id is NULL");
        aec_model_options options = default_model_options();
        options.id = id;
        options.folders = folders;
        options.threads = threads;
        open_handle(options, model_of, model, "model");
    });
}

void aec_model_close(aec_model* model) { delete model; }

void aec_model_get_id(const aec_model* model, uint8_t* id) {
    if (model != nullptr && id != nullptr) std::copy(model->model->id.begin(), model->model->id.end(), id);
}

aec_status aec_get_embedded(const aec_file* file, const uint8_t** data, size_t* size, aec_embedded_kind* kind,
                            aec_error* error) {
    return guarded(error, [&] {
        require(file != nullptr && data != nullptr && size != nullptr && kind != nullptr,
                "file, data, size or kind is NULL");
        const bool stored = file->layout.header().stored;
        const Span found = stored ? file->layout.payload(0) : Span{};
        if (stored && kind_of(found) == StillKind::kNone)
            throw Error(ErrorKind::kCorrupt, "the stored picture: a payload that is no PNG, WebP or JPEG picture");
        *data = found.data;
        *size = found.size;
        *kind = kind_for_c(kind_of(found));
    });
}

int32_t aec_has_embedded_decoder(aec_embedded_kind kind) {
    return kind > AEC_EMBEDDED_NONE && kind <= AEC_EMBEDDED_JPEG && has_decoder(static_cast<StillKind>(kind));
}

aec_status aec_get_pixels(const aec_file* file, const aec_decode_options* options, aec_pixels* pixels,
                          aec_error* error) {
    return guarded(error, [&] {
        require(file != nullptr, "file is NULL");
        const Canvas canvas =
            request_of(file->layout.header(), options_of(options, default_decode_options(), "options")).canvas;
        const uint64_t row_bytes = row_bytes_of(canvas);
        give(pixels, {0, canvas.width, canvas.height, static_cast<uint32_t>(canvas.channels),
                      static_cast<uint32_t>(canvas.depth), row_bytes, row_bytes * canvas.height}, "pixels");
    });
}

aec_status aec_decode_picture(const aec_file* file, const aec_model* model, const aec_decode_options* given,
                              void* out, size_t stride, size_t size, aec_error* error) {
    return guarded(error, [&] {
        require(file != nullptr && out != nullptr, "file or out is NULL");
        const aec_decode_options options = options_of(given, default_decode_options(), "options");
        Request request = request_of(file->layout.header(), options);
        const uint64_t row_bytes = row_bytes_of(request.canvas);
        require(stride >= row_bytes,
                "stride is " + std::to_string(stride) + ": at least " + std::to_string(row_bytes) + " is needed");
        require(size >= row_bytes && (size - row_bytes) / stride >= request.canvas.height - 1,
                "size is " + std::to_string(size) + ": too small for " + std::to_string(request.canvas.height) +
                    " rows, " + std::to_string(stride) + " bytes apart");
        require(request.canvas.depth == 8 || (stride % 2 == 0 && reinterpret_cast<uintptr_t>(out) % 2 == 0),
                "out and stride must be even for 16 bits a sample");
        const MemoryScope scope(file->memory.get());
        request.canvas.data = static_cast<uint8_t*>(out);
        request.canvas.stride = stride;
        decode_picture(file->layout, model != nullptr ? model->model.get() : nullptr, request.region, request.canvas,
                       threads_of(options.threads), embedded_by(options.embedded, options.embedded_user),
                       progress_of(options.progress, options.progress_user));
    });
}

}  // extern "C"
