// What is thrown about files and models: a kind, which callers can tell apart, and a message for people. The kinds are
// those of FORMAT.md and codec/errors.py. Wrong arguments throw invalid_argument instead, in all rooms: Python gets a
// ValueError of it, and C AEC_ERROR_ARGUMENT.
#pragma once

#include <stdexcept>
#include <string>

#include "base/status.h"

namespace aec {

enum class ErrorKind {
    kNotAec,
    kVersion,
    kTruncated,
    kCorrupt,
    kLimit,
    kModel,
    kEmbedded,  // a picture inside is of a kind that nobody here can decode
    kIo,
    kCancelled,
};

class Error : public std::runtime_error {
public:
    Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind(kind) {}
    const ErrorKind kind;
};

// The words for a fault of a payload, as Python's CorruptError has them.
inline std::string words_of(const Fault& fault) {
    return "stream " + std::to_string(fault.at) + ": " + describe(fault.status) + " (found " +
           std::to_string(fault.found) + ")";
}

}  // namespace aec
