// Messages of aec_error.
#pragma once

#include <string>

namespace aec {

// A message that fits into `room` bytes, the zero byte at its end included, and is UTF-8, whatever names of files it
// holds: bytes that are none become '?'. Of one that is too long the middle is left out, because it begins with the
// name of what is wrong, which may be a long path, and ends with the reason.
std::string fitted(const std::string& message, size_t room);

}  // namespace aec
