// Where the symbols of a context step lie in its segment (FORMAT §8). The order is channel, row, column, but only every
// second or fourth position of a channel belongs to a step. These are closed formulas, so that each thread of a GPU can
// compute the place of its symbol without counting.
#pragma once

#include "engine/nets.h"

namespace aec {

// How many of n rows (or columns) are even (parity 0) or odd (parity 1).
AEC_HD int parity_count(int n, int parity) { return (n - parity + 1) / 2; }

// The number of positions that have this phase.
AEC_HD int phase_size(int steps, int phase, int height, int width) {
    if (steps == 2)
        return parity_count(height, 0) * parity_count(width, phase) +
               parity_count(height, 1) * parity_count(width, phase ^ 1);
    return parity_count(height, phase & 1) * parity_count(width, (phase >> 1 ^ phase) & 1);
}

// The number of (y, x) among the positions of its phase, counted from 0, row by row. With two steps the positions of a
// phase form a checkerboard, of which each pair of rows has `width`. With four steps a phase has one position in each
// 2x2 square.
AEC_HD int rank_of(int steps, int phase, int width, int y, int x) {
    if (steps == 2) return y / 2 * width + (y & 1 ? parity_count(width, phase) : 0) + x / 2;
    return y / 2 * parity_count(width, x & 1) + x / 2;
}

struct Position {
    int y, x;
};
// The inverse of rank_of.
AEC_HD Position position_of(int steps, int phase, int width, int rank) {
    if (steps == 2) {
        const int row = rank / width, rest = rank % width, first = parity_count(width, phase);
        if (rest < first) return {2 * row, 2 * rest + phase};
        return {2 * row + 1, 2 * (rest - first) + (phase ^ 1)};
    }
    const int i = phase & 1, j = (phase >> 1 ^ phase) & 1, columns = parity_count(width, j);
    return {2 * (rank / columns) + i, 2 * (rank % columns) + j};
}

// Where the symbols of a channel begin in the segment of step k. Each group of `steps` consecutive channels has
// height * width symbols, because each of them has another phase in this step.
AEC_HD int64_t channel_start(int steps, int k, int channel, int height, int width) {
    int64_t start = static_cast<int64_t>(channel / steps) * height * width;
    for (int group = 0; group < channel % steps; ++group)
        start += phase_size(steps, k ^ group, height, width);
    return start;
}

}  // namespace aec
