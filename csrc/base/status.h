// Everything that can be wrong with a payload or with the encoder's arguments. GPU kernels write only the status code;
// the host turns it into a message.
#pragma once

#include "base/portable.h"

namespace aec {

enum class Status : uint32_t {
    kOk,
    // The payload breaks FORMAT §3-§5. Python raises CorruptError.
    kTooLong,
    kLanes,
    kVarint,
    kStreamLength,
    kState,
    kPastEnd,
    kEscapeClass,
    kEndState,
    kEndWords,
    kEndCode,
    kBits,
    kFeatureShift,
    // An argument is wrong. Python raises ValueError.
    kIndex,
    kSymbol,
    kNotZero,
    kNoRoom,
};

// at: the number of the stream if the payload is wrong, the position in the array if an argument is. found: the value
// that is not allowed.
struct Fault {
    Status status = Status::kOk;
    uint64_t at = 0;
    int64_t found = 0;
    explicit operator bool() const { return status != Status::kOk; }
};

inline bool is_corruption(Status status) { return status >= Status::kTooLong && status <= Status::kFeatureShift; }

inline const char* describe(Status status) {
    switch (status) {
        case Status::kOk: return "ok";
        case Status::kTooLong: return "payload is longer than 2^32 - 1 bytes";
        case Status::kLanes: return "lanes byte is missing or above 12";
        case Status::kVarint: return "stream length is not a varint";
        case Status::kStreamLength: return "stream length is odd, below its lanes' states, or beyond the payload";
        case Status::kState: return "initial state is below 65536";
        case Status::kPastEnd: return "read past the end of the stream";
        case Status::kEscapeClass: return "escape class is above 13";
        case Status::kEndState: return "final state is not 65536";
        case Status::kEndWords: return "bytes are left after the last symbol";
        case Status::kEndCode: return "the code is not 0 after the last sample";
        case Status::kBits: return "samples of no or too many bits";
        case Status::kFeatureShift: return "features are shifted by too many bits";
        case Status::kIndex: return "index is out of range";
        case Status::kSymbol: return "symbol is beyond +-16383";
        case Status::kNotZero: return "symbol with index 0 is not zero";
        case Status::kNoRoom: return "scratch or output is too small";
    }
    return "unknown status";
}

}  // namespace aec
