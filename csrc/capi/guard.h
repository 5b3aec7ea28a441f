// What the functions of aec.h share: exceptions become statuses, and structs of other versions are read and written.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/memory.h"
#include "capi/aec.h"
#include "capi/message.h"

namespace aec {

inline void require(bool right, const std::string& message) {
    if (!right) throw std::invalid_argument(message);
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

// Throws what becomes `status`, which a callback has returned; what is no aec_status becomes AEC_ERROR_ARGUMENT.
// whose: names the callback.
[[noreturn]] inline void throw_status(int32_t status, const std::string& whose) {
    const std::string message =
        whose + " has returned the status " + std::to_string(status) + ", \"" + aec_status_name(status) + "\"";
    if (status == AEC_ERROR_MEMORY) throw std::bad_alloc();
    if (status == AEC_ERROR_INTERNAL) throw std::runtime_error(message);
    for (int kind = 0; kind <= static_cast<int>(ErrorKind::kCancelled); ++kind)
        if (status_of(static_cast<ErrorKind>(kind)) == status) throw Error(static_cast<ErrorKind>(kind), message);
    throw std::invalid_argument(message);
}

inline aec_status report(aec_error* error, aec_status status, const char* message) {
    if (error != nullptr) {
        error->status = status;
        std::strncpy(error->message, message, sizeof error->message);
        error->message[sizeof error->message - 1] = 0;
    }
    return status;
}

// The same for a message that may be long, or may hold names of files.
inline aec_status report(aec_error* error, aec_status status, const std::exception& e) {
    if (error == nullptr) return status;
    try {
        return report(error, status, fitted(e.what(), sizeof error->message).c_str());
    } catch (...) {  // there is no memory for it
        return report(error, status, aec_status_name(status));
    }
}

// Runs the body of a function of the C interface, which no exception may leave.
template <class Body>
aec_status guarded(aec_error* error, Body body) noexcept {
    try {
        const MemoryScope plain(nullptr);  // where a callback calls the library
        body();
        return report(error, AEC_OK, "");
    } catch (const Error& e) {
        return report(error, status_of(e.kind), e);
    } catch (const std::invalid_argument& e) {
        return report(error, AEC_ERROR_ARGUMENT, e);
    } catch (const std::bad_alloc&) {
        return report(error, AEC_ERROR_MEMORY, "there is not enough memory");
    } catch (const std::length_error&) {
        return report(error, AEC_ERROR_MEMORY, "there is not enough memory");
    } catch (const std::exception& e) {
        return report(error, AEC_ERROR_INTERNAL, e);
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

// Fields that this library does not know must be 0, because what they ask for would not be done.
template <class T>
T options_of(const T* given, T defaults, const char* name) {
    if (given == nullptr) return defaults;
    require(given->struct_size >= sizeof given->struct_size, std::string(name) + " must be initialised");
    const auto* bytes = reinterpret_cast<const unsigned char*>(given);
    for (size_t i = sizeof defaults; i < given->struct_size; ++i)
        require(bytes[i] == 0, std::string(name) + " has a value at byte " + std::to_string(i) +
                                   ": this library knows the first " + std::to_string(sizeof defaults) +
                                   " bytes, and the others must be 0");
    std::memcpy(&defaults, given, std::min(given->struct_size, sizeof defaults));
    return defaults;
}

template <class T>
void give(T* to, T value, const char* name) {
    require(to != nullptr && to->struct_size >= sizeof to->struct_size, std::string(name) + " must be initialised");
    value.struct_size = to->struct_size;
    std::memcpy(to, &value, std::min(to->struct_size, sizeof value));
}

// The caller's functions for memory, which what is made with them keeps. Null: there are none.
using OwnMemory = std::unique_ptr<const Memory>;

inline OwnMemory memory_of(const aec_allocator* given) {
    if (given == nullptr) return nullptr;
    require(given->allocate != nullptr && given->release != nullptr, "allocate or release of the allocator is NULL");
    return OwnMemory(new Memory{given->allocate, given->release, given->user});
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
