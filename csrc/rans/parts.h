// A payload cut into parts, one for each segment (FORMAT §3), so that a file can hold the first segments of all tiles
// before the second ones, and a reader that has the first parts of a tile can decode its first segments.
#pragma once

#include <string>

#include "base/memory.h"
#include "base/span.h"
#include "rans/coder_cpu.h"

namespace aec {

Vector<ByteString> cut_payload(const Payload& payload);

// Joins the first parts of a payload, as far as there are any, so that `Decoder` can read them. ends_early: the last of
// these parts may be only the beginning of one. The result of no parts is empty.
Fault join_parts(const Vector<Span>& parts, bool ends_early, ByteString& payload);

}  // namespace aec
