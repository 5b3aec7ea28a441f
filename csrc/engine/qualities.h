// The quality of each part of a picture (FORMAT §8): one number for all of it, or a map with a number for each block of
// 64x64 pixels. What the networks do for a quality, they do at each position for the quality of its block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/memory.h"

namespace aec {

constexpr uint32_t kBlockSide = 64;   // of a block, in pixels
constexpr int kBlockLatentsLog2 = 2;  // a block has 4x4 positions of latents, and one of hyperlatents

// How many blocks a side of so many pixels has.
constexpr uint32_t blocks_of(uint32_t pixels) { return (pixels + kBlockSide - 1) / kBlockSide; }

class Qualities {
public:
    Qualities(int quality) : one_(quality) {}  // implicit, because mostly there is one quality
    // map: [rows][columns of blocks].
    Qualities(int columns, Vector<uint8_t> map) : columns_(columns), map_(std::move(map)) {}

    bool is_one() const { return map_.empty(); }
    int one() const { return one_; }                          // only if is_one()
    const Vector<uint8_t>& map() const { return map_; }  // empty if is_one()
    // The quality at a position, for planes of which a block has 2^block_log2 positions a side.
    int at(int y, int x, int block_log2) const {
        return is_one() ? one_ : map_[static_cast<size_t>(y >> block_log2) * columns_ + (x >> block_log2)];
    }
    // Those of the blocks with y0 <= y < y1 and x0 <= x < x1, as a picture of their own.
    Qualities part(int y0, int y1, int x0, int x1) const {
        if (is_one()) return one_;
        Vector<uint8_t> values;
        for (int y = y0; y < y1; ++y) {
            const auto row = map_.begin() + static_cast<ptrdiff_t>(y) * columns_;
            values.insert(values.end(), row + x0, row + x1);
        }
        return {x1 - x0, std::move(values)};
    }

private:
    int one_ = 0, columns_ = 0;
    Vector<uint8_t> map_;
};

}  // namespace aec
