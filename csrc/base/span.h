// The bytes of a memory that somebody else owns.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace aec {

struct Span {
    const uint8_t* data = nullptr;
    size_t size = 0;

    // The bytes from begin to end, as far as there are any.
    Span part(uint64_t begin, uint64_t end) const {
        begin = std::min<uint64_t>(begin, size);
        end = std::max(begin, std::min<uint64_t>(end, size));
        return {data + begin, static_cast<size_t>(end - begin)};
    }
};

}  // namespace aec
