// What the functions of aec.h share: exceptions become statuses, and structs of other versions are read and written.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <new>
#include <string>
#include <thread>

#include "base/error.h"
#include "capi/aec.h"

namespace aec {

// A wrong argument of the caller.
struct ArgumentError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline void require(bool right, const std::string& message) {
    if (!right) throw ArgumentError(message);
}

inline aec_status status_of(ErrorKind kind) {
    switch (kind) {
        case ErrorKind::kNotAec: return AEC_ERROR_NOT_AEC;
        case ErrorKind::kVersion: return AEC_ERROR_VERSION;
        case ErrorKind::kTruncated: return AEC_ERROR_TRUNCATED;
        case ErrorKind::kCorrupt: return AEC_ERROR_CORRUPT;
        case ErrorKind::kLimit: return AEC_ERROR_LIMIT;
        case ErrorKind::kModel: return AEC_ERROR_MODEL;
        case ErrorKind::kEmbedded: return AEC_ERROR_EMBEDDED;
        case ErrorKind::kIo: return AEC_ERROR_IO;
        case ErrorKind::kCancelled: return AEC_ERROR_CANCELLED;
    }
    return AEC_ERROR_INTERNAL;
}

inline aec_status report(aec_error* error, aec_status status, const char* message) {
    if (error != nullptr) {
        error->status = status;
        std::snprintf(error->message, sizeof error->message, "%s", message);
    }
    return status;
}

// Runs the body of a function of the C interface, which no exception may leave.
template <class Body>
aec_status guarded(aec_error* error, Body body) noexcept {
    try {
        body();
        return report(error, AEC_OK, "");
    } catch (const Error& e) {
        return report(error, status_of(e.kind), e.what());
    } catch (const ArgumentError& e) {
        return report(error, AEC_ERROR_ARGUMENT, e.what());
    } catch (const std::bad_alloc&) {
        return report(error, AEC_ERROR_MEMORY, "there is not enough memory");
    } catch (const std::length_error&) {
        return report(error, AEC_ERROR_MEMORY, "there is not enough memory");
    } catch (const std::exception& e) {
        return report(error, AEC_ERROR_INTERNAL, e.what());
    } catch (...) {
        return report(error, AEC_ERROR_INTERNAL, "an unknown exception");
    }
}

// Structs of programs that were compiled with an older or a newer header: what both know is copied.

template <class T>
void init(T* to, size_t struct_size, T defaults) {
    if (to == nullptr || struct_size < sizeof defaults.struct_size) return;
    std::memset(to, 0, struct_size);
    defaults.struct_size = struct_size;
    std::memcpy(to, &defaults, std::min(struct_size, sizeof defaults));
}

template <class T>
T options_of(const T* given, T defaults, const char* name) {
    if (given == nullptr) return defaults;
    require(given->struct_size >= sizeof given->struct_size, std::string(name) + " must be initialised");
    std::memcpy(&defaults, given, std::min(given->struct_size, sizeof defaults));
    return defaults;
}

template <class T>
void give(T* to, T value, const char* name) {
    require(to != nullptr && to->struct_size >= sizeof to->struct_size, std::string(name) + " must be initialised");
    value.struct_size = to->struct_size;
    std::memcpy(to, &value, std::min(to->struct_size, sizeof value));
}

inline int threads_of(uint32_t wanted) {
    constexpr uint32_t kMost = 256;
    if (wanted == 0) wanted = std::max(1u, std::thread::hardware_concurrency());
    return static_cast<int>(std::min(wanted, kMost));
}

inline std::function<void(double)> progress_of(aec_progress report, void* user) {
    if (report == nullptr) return nullptr;
    return [report, user](double share) {
        if (report(user, share) != 0) throw Error(ErrorKind::kCancelled, "the caller has stopped the work");
    };
}

}  // namespace aec
