// Where a context step's latents lie in its segment (FORMAT §8), in closed form: each by itself, for threads.
#pragma once

#include "engine/nets.h"

namespace aec {

// Of n rows or columns, those of one parity.
AEC_HD int parity_count(int n, int parity) { return (n - parity + 1) / 2; }

AEC_HD int phase_size(int steps, int phase, int height, int width) {
    if (steps == 2)
        return parity_count(height, 0) * parity_count(width, phase) +
               parity_count(height, 1) * parity_count(width, phase ^ 1);
    return parity_count(height, phase & 1) * parity_count(width, (phase >> 1 ^ phase) & 1);
}

// The positions of a phase, counted row by row. With two steps every pair of rows has `width` of them.
AEC_HD int rank_of(int steps, int phase, int width, int y, int x) {
    if (steps == 2) return y / 2 * width + (y & 1 ? parity_count(width, phase) : 0) + x / 2;
    return y / 2 * parity_count(width, x & 1) + x / 2;
}

struct Position {
    int y, x;
};
AEC_HD Position position_of(int steps, int phase, int width, int rank) {
    if (steps == 2) {
        const int row = rank / width, rest = rank % width, first = parity_count(width, phase);
        if (rest < first) return {2 * row, 2 * rest + phase};
        return {2 * row + 1, 2 * (rest - first) + (phase ^ 1)};
    }
    const int i = phase & 1, j = (phase >> 1 ^ phase) & 1, columns = parity_count(width, j);
    return {2 * (rank / columns) + i, 2 * (rank % columns) + j};
}

// Where the symbols of a channel begin in the segment of step k: each `steps` channels have height * width of them.
AEC_HD int64_t channel_start(int steps, int k, int channel, int height, int width) {
    int64_t start = static_cast<int64_t>(channel / steps) * height * width;
    for (int group = 0; group < channel % steps; ++group)
        start += phase_size(steps, k ^ group, height, width);
    return start;
}

}  // namespace aec
