// Where a model or an encoder comes from.
#pragma once

#include "capi/guard.h"

namespace aec {

inline aec_model_options default_model_options() {
    aec_model_options options = {};
    options.struct_size = sizeof options;
    return options;
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
    aec_model_options options = default_model_options();
    options.path = path;
    options.threads = threads;
    return options;
}

}  // namespace aec
