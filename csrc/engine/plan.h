// Which positions each stage of a program (program.h) computes to make a rectangle of the program's output: no more than
// that rectangle depends on. Each 3x3 convolution adds a halo of one position. executor.h follows a plan on a CPU, and
// executor_cuda.cuh on a GPU.
#pragma once

#include <vector>

#include "engine/program.h"

namespace aec {

// The positions with y0 <= y < y1 and x0 <= x < x1.
struct Rect {
    int y0, y1, x0, x1;
    bool empty() const { return y0 >= y1 || x0 >= x1; }
    int rows() const { return y1 - y0; }
    int columns() const { return x1 - x0; }
    bool holds(const Rect& other) const {
        return other.empty() || (y0 <= other.y0 && other.y1 <= y1 && x0 <= other.x0 && other.x1 <= x1);
    }
};

// The latents of an area in pixels, whose left and top are multiples of 16.
inline Rect in_latents(const Rect& area) {
    constexpr int s = kLatentStride;
    return {area.y0 / s, (area.y1 + s - 1) / s, area.x0 / s, (area.x1 + s - 1) / s};
}

// The same positions in a plane of twice the resolution.
inline Rect doubled(const Rect& r) { return {2 * r.y0, 2 * r.y1, 2 * r.x0, 2 * r.x1}; }

// Consecutive stages that can run on one position after the other, because no stage but the first reads results of
// neighbouring positions: a depthwise convolution or a change of resolution starts a new round. So all stages of a round
// can run on some of its positions before the others are begun.
struct Round {
    size_t first, last;  // stages first .. last - 1
    int resolution;      // of the positions of the round: that of the coarser plane of each stage
    Rect rect;           // the positions to compute
};

struct Plan {
    // rows, columns: the size of the whole picture, in positions of the planes of resolution 1. area: the rectangle of
    // the output plane to compute, which must lie within the picture.
    Plan(const Program& program, int rows, int columns, Rect area);

    int rows, columns;
    std::vector<Round> rounds;
    std::vector<Rect> needed;    // for each plane: the rectangle that is written or read by any stage
    std::vector<bool> is_local;  // for each plane: whether its values are only used at the same position of the same round

private:
    void find_rounds(const Program& program);
    void find_rects(const Program& program, Rect area);
    void find_local_planes(const Program& program);
    Rect clipped(Rect rect, int resolution) const;
};

}  // namespace aec
