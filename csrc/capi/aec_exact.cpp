// The functions of aec.h that encode without a model: arguments checked, exceptions turned into statuses, and nothing
// else.
#include "capi/embedded.h"
#include "capi/encode_input.h"

namespace {

using namespace aec;

aec_exact_options default_exact_options() {
    aec_exact_options options = {};
    options.struct_size = sizeof options;
    options.tile = 1024;
    return options;
}

aec_store_options default_store_options() {
    aec_store_options options = {};
    options.struct_size = sizeof options;
    options.max_pixels = kDefaultMaxPixels;
    return options;
}

ByteString exact(const aec_picture& picture, const aec_exact_options& options) {
    const SampleView samples = samples_of(picture);
    ExactSettings settings;
    settings.largest_error = int_of(options.max_error);
    settings.tile = options.tile;
    settings.threads = threads_of(options.threads);
    settings.progress = progress_of(options.progress, options.progress_user);
    check_tile(settings.tile);
    return encode_exact_picture(samples, settings, metadata_of(options.metadata, samples.depth));
}

}  // namespace

extern "C" {

void aec_exact_options_init(aec_exact_options* options, size_t struct_size) {
    init(options, struct_size, default_exact_options());
}
void aec_store_options_init(aec_store_options* options, size_t struct_size) {
    init(options, struct_size, default_store_options());
}

aec_status aec_encode_exact(const aec_picture* picture, const aec_exact_options* given, aec_write write,
                            void* write_user, aec_error* error) {
    return guarded(error, [&] {
        require(picture != nullptr && write != nullptr, "picture or write is NULL");
        const aec_exact_options options = options_of(given, default_exact_options(), "options");
        const OwnMemory memory = memory_of(options.allocator);
        const MemoryScope scope(memory.get());
        write_out(exact(options_of(picture, aec_picture{}, "picture"), options), write, write_user);
    });
}

aec_status aec_store_picture(const void* data, size_t size, const aec_store_options* given, aec_write write,
                             void* write_user, aec_error* error) {
    return guarded(error, [&] {
        require(data != nullptr && write != nullptr, "data or write is NULL");
        const aec_store_options options = options_of(given, default_store_options(), "options");
        const OwnMemory memory = memory_of(options.allocator);
        const MemoryScope scope(memory.get());
        const Limits limits = {options.max_pixels, kMaxSide};
        write_out(store_picture({static_cast<const uint8_t*>(data), size}, limits,
                                embedded_by(options.embedded, options.embedded_user)),
                  write, write_user);
    });
}

}  // extern "C"
