// The arguments that the synthesis has on the CPU and on a GPU.
#pragma once

#include <utility>

#include "base/range.h"
#include "engine/synthesis.h"
#include "python/qualities.h"

namespace aec {

constexpr int kMaxLatents = 1 << 12, kMaxSamples = kMaxLatents * kLatentStride;  // rows or columns of a picture

// size: rows and columns of the latents of the whole picture. Throws invalid_argument, which names what
// is out of range.
inline Synthesis::Picture picture_of(std::pair<int, int> size, const py::object& quality, int shrink, bool branch,
                                     bool gray) {
    int log2 = 0;
    while (log2 < kMaxShrinkLog2 && 1 << log2 != shrink) ++log2;
    if (1 << log2 != shrink) throw std::invalid_argument("shrink must be 1, 2, 4 or 8");
    return {in_range(size.first, 1, kMaxLatents, "rows"), in_range(size.second, 1, kMaxLatents, "columns"),
            qualities_of(quality, size.first, size.second), log2, branch, gray};
}

// The rectangle that begins at a position of 0 to `most`.
inline Rect rect_of(std::pair<int, int> at, std::pair<int, int> size, int most, const char* name) {
    const int y = in_range(at.first, 0, most, name), x = in_range(at.second, 0, most, name);
    return {y, y + in_range(size.first, 0, most, "rows"), x, x + in_range(size.second, 0, most, "columns")};
}

}  // namespace aec
