// The tiles of kernels that make numbers of each position of a rectangle of latents by itself: the positions are taken
// row by row, so many for each block of threads.
#pragma once

#include "engine/tile.cuh"

namespace aec {

struct LatentRect {
    int y0, x0, height, width;
};

inline LatentRect latent_rect(const Rect& rect) { return {rect.y0, rect.x0, rect.rows(), rect.columns()}; }

inline unsigned tile_count(const LatentRect& rect, int rows) {
    return static_cast<unsigned>((static_cast<int64_t>(rect.height) * rect.width + rows - 1) / rows);
}

// Writes the place (convolve.cuh) of each of a block's `rows` positions, and its row in tables with one for each quality.
__device__ inline void find_places(const LatentRect& rect, const DeviceQualities& qualities, int rows, int* places,
                                   int* quality_rows) {
    const int i = threadIdx.x;
    if (i >= rows) return;
    const int rank = blockIdx.x * rows + i, row = rank / rect.width;
    const int y = rect.y0 + row, x = rect.x0 + rank % rect.width;
    places[i] = row < rect.height ? place_at(y, x) : kNowhere;
    quality_rows[i] = row < rect.height ? qualities.at(y, x) - 1 : 0;
}

}  // namespace aec
