// Positions of a tile in memory, for the entropy nets on the CPU.
#pragma once

#include <algorithm>
#include <vector>

#include "engine/nets_kernels.h"

namespace aec {

// The four planes of equal row and column parity one after the other, in the order of the phases of four steps. The
// phases of two steps are two planes each, so a phase always is one range of positions.
class Grid {
public:
    Grid(int height, int width) : height_(height), width_(width), first_{} {
        for (int plane = 0; plane < kPlanes; ++plane)
            first_[plane + 1] = first_[plane] + rows(plane) * columns(plane);
    }

    static constexpr int kPlanes = 4;
    static int plane_of(int y, int x) { return phase_of(y, x, kPlanes); }
    static int phase_of_plane(int plane, int steps) { return steps == 2 ? plane >> 1 : plane; }
    static int row_parity(int plane) { return plane & 1; }
    static int column_parity(int plane) { return (plane >> 1) ^ (plane & 1); }

    int height() const { return height_; }
    int width() const { return width_; }
    int positions() const { return first_[kPlanes]; }
    int rows(int plane) const { return (height_ + 1 - row_parity(plane)) / 2; }
    int columns(int plane) const { return (width_ + 1 - column_parity(plane)) / 2; }
    int first(int plane, int row) const { return first_[plane] + row * columns(plane); }
    int at(int y, int x) const { return first(plane_of(y, x), y >> 1) + (x >> 1); }

private:
    int height_, width_, first_[kPlanes + 1];
};

// What one thread works on at a time: whole rows of one plane.
struct Chunk {
    int plane, row, n_rows;
    int first, n;  // positions
};

// Chunks of about kPositions: what a chunk's layers hand on stays in the cache. Fewer if threads would go without.
inline std::vector<Chunk> chunks_of(const Grid& grid, int threads) {
    constexpr int kPositions = 96, kTile = 12;  // register tiles are 4, 6 or 12 positions high
    const int share = round_up((grid.positions() + 2 * threads - 1) / (2 * threads), kTile);
    std::vector<Chunk> chunks;
    for (int plane = 0; plane < Grid::kPlanes; ++plane) {
        const int rows = grid.rows(plane), columns = grid.columns(plane);
        if (columns == 0) continue;
        const int height = std::max(std::min(share, kPositions) / columns, 1);
        for (int row = 0; row < rows; row += height) {
            const int n_rows = std::min(height, rows - row);
            chunks.push_back({plane, row, n_rows, grid.first(plane, row), n_rows * columns});
        }
    }
    return chunks;
}

// The nine taps of a row's convolution: where to read for its outputs first..last - 1, `channels` apart, and `zeros`
// beyond the tile's edges. Only the first and the last output of a row can have such taps left or right.
inline DepthwiseCall taps_of(const Grid& grid, const int16_t* in, ptrdiff_t channels, const int16_t* zeros, int plane,
                             int row, int first, int last) {
    DepthwiseCall call = {};
    const int y = 2 * row + Grid::row_parity(plane), parity = Grid::column_parity(plane);
    for (int tap = 0; tap < kTaps; ++tap) {
        const int from_y = y + tap / 3 - 1, from_x = 2 * first + parity + tap % 3 - 1;
        const int last_x = from_x + 2 * (last - 1 - first);
        const bool inside = from_y >= 0 && from_y < grid.height() && from_x >= 0 && last_x < grid.width();
        call.taps[tap] = inside ? in + grid.at(from_y, from_x) * channels : zeros;
        call.strides[tap] = inside ? channels : 0;
    }
    call.n = last - first;
    return call;
}

}  // namespace aec
