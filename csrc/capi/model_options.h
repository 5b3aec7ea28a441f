// Where a model or an encoder comes from.
#pragma once

#include "capi/guard.h"

namespace aec {

inline aec_model_options default_model_options() {
    aec_model_options options = {};
    options.struct_size = sizeof options;
    return options;
}

// What the caller has given, which must not be null.
inline aec_model_options given_options(const aec_model_options* options) {
    require(options != nullptr, "options is NULL");
    return options_of(options, default_model_options(), "options");
}

// Throws invalid_argument unless the options name one source: a path, an id, or else memory, which may be empty.
inline void check_source(const aec_model_options& options) {
    const bool in_memory = options.path == nullptr && options.id == nullptr;
    require(options.path == nullptr || options.id == nullptr, "path and id: only one of them can be given");
    require(in_memory || (options.data == nullptr && options.size == 0), "data beside a path or an id");
    require(options.data != nullptr || options.size == 0, "data is NULL");
    require(options.folders == nullptr || options.id != nullptr, "folders without an id");
}

inline Span memory_span(const aec_model_options& options) {
    return {static_cast<const uint8_t*>(options.data), options.size};
}

inline aec_model_options options_for(const void* data, size_t size, uint32_t threads) {
    aec_model_options options = default_model_options();
    options.data = data;
    options.size = size;
    options.threads = threads;
    return options;
}

inline aec_model_options options_for(const char* path, uint32_t threads) {
    require(path != nullptr, "path is NULL");
    aec_model_options options = default_model_options();
    options.path = path;
    options.threads = threads;
    return options;
}

// Opens an aec_model or an aec_encoder. load: makes what it holds from the options. name: of `handle` in messages.
template <class Load, class Handle>
void open_handle(const aec_model_options& options, const Load& load, Handle** handle, const char* name) {
    require(handle != nullptr, std::string(name) + " is NULL");
    OwnMemory memory = memory_of(options.allocator);
    const MemoryScope scope(memory.get());
    auto loaded = load(options);
    *handle = new Handle{std::move(memory), std::move(loaded)};
}

}  // namespace aec
