// What the functions that aec.wasm exports have in common.
//
// They are the functions of aec.h with plain numbers as arguments, so that JavaScript need not know how C lays out a
// struct. Every call that can fail returns an aec_status, and leaves its message and its numbers in `result`.
#pragma once

#include <cstring>
#include <vector>

#include "capi/aec.h"
#include "web/packed_model.h"

#define AEC_EXPORT(name) extern "C" __attribute__((export_name(#name)))

struct Result {
    aec_error error;
    uint32_t numbers[32];
};
extern Result result;

template <class... Numbers>
void give(Numbers... numbers) {
    uint32_t* to = result.numbers;
    ((*to++ = static_cast<uint32_t>(numbers)), ...);
}

template <class T>
T initial(void (*init)(T*, size_t)) {
    T value;
    init(&value, sizeof value);
    return value;
}

int32_t report_progress(void*, double share);

namespace aec::web {

// Runs use(model file), unpacked if it is packed, and returns the status of `result`.
template <class Use>
int32_t with_model_file(Span data, Use use) {
    const auto failed = [](aec_status status, const char* message) {
        result.error.status = status;
        std::strncpy(result.error.message, message, sizeof result.error.message - 1);
    };
    try {
        std::vector<uint8_t> unpacked;
        if (is_packed_model(data)) {
            unpacked = unpack_model(data);
            data = {unpacked.data(), unpacked.size()};
        }
        use(data);
    } catch (const std::bad_alloc&) {
        failed(AEC_ERROR_MEMORY, "there is not enough memory");
    } catch (const std::exception& e) {
        failed(AEC_ERROR_MODEL, e.what());
    }
    return result.error.status;
}

}  // namespace aec::web
