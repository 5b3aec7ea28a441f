// Runs a program (program.h) on the CPU, for a rectangle of its output. Of the other planes it computes only what that
// rectangle depends on: each 3x3 convolution adds a halo of one position.
#pragma once

#include <vector>

#include "base/buffer.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "engine/program.h"
#include "engine/qualities.h"

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

// A rectangle of a plane in memory, [rows][columns][channels]. Neighbouring positions are `stride` elements apart, and
// rows `row_stride`.
struct View {
    Rect rect = {};
    int16_t* data = nullptr;
    ptrdiff_t row_stride = 0, stride = 0;

    int16_t* at(int y, int x) const { return data + (y - rect.y0) * row_stride + (x - rect.x0) * stride; }
};

// The computation of a rectangle of a program's output, and the memory that it needs.
class Execution {
public:
    // rows, columns: the size of the whole picture, in positions of the planes of resolution 1. area: the rectangle of
    // the output plane to compute, which must lie within the picture. `packed` must outlive this object.
    Execution(const PackedProgram& packed, int rows, int columns, Rect area);

    // The rectangle of an input plane that `run` reads.
    const Rect& reads(int input = 0) const { return needed_[program_.inputs[input]]; }

    // inputs: for each input of the program a view that contains reads(), else invalid_argument is thrown. Kernels read
    // channels in pairs: if the number of channels is odd, one more element after the last must be readable. qualities:
    // of the whole picture. block_log2: a block of qualities has 2^block_log2 positions of resolution 1 a side. threads:
    // the most threads to use. The result does not depend on kernels and threads.
    void run(const std::vector<View>& inputs, const Qualities& qualities, int block_log2, const Kernels& kernels,
             int threads);

    const View& output() const { return views_[program_.output]; }

private:
    static constexpr int kSegment = 128;  // the most positions in a segment, the unit of work of a thread

    // Consecutive stages that can run on one position after the other, because no stage but the first reads results of
    // neighbouring positions: a depthwise convolution or a change of resolution starts a new round. All stages of a
    // round run on one segment of a row before the next segment is begun, so that the segment's activations stay in the
    // cache. After a round the threads wait for each other.
    struct Round {
        size_t first, last;  // stages first .. last - 1
        int resolution;      // of the positions that segments consist of: that of the coarser plane of each stage
        Rect rect;           // the positions to compute
        int row_segments() const { return (rect.columns() + kSegment - 1) / kSegment; }
        int64_t segments() const { return int64_t{row_segments()} * rect.rows(); }
    };

    bool is_input(int plane) const;
    void find_rounds();
    void find_rects(Rect area);
    void find_local_planes();
    Rect clipped(Rect rect, int resolution) const;
    void run_segment(const Round& round, int y, int x0, int x1, const View* views, int16_t* gathered,
                     const Qualities& qualities, int block_log2, const Kernels& kernels) const;
    void run_pointwise(const Stage& stage, const PackedStage& packed, const View& in, const View& out, int y, int x0,
                       int x1, int16_t* gathered, int quality, const Kernels& kernels) const;
    void run_depthwise(const PackedDepthwise& conv, const View& in, const View& out, int resolution, int y, int x0,
                       int x1, const Kernels& kernels) const;

    const Program& program_;
    const Vector<PackedStage>& packed_;
    int rows_, columns_;
    std::vector<Round> rounds_;
    std::vector<Rect> needed_;    // for each plane: the rectangle that is written or read by any stage
    std::vector<bool> is_local_;  // for each plane: whether its values are only used within a segment of a round; then
                                  // each thread has a buffer of one segment for it
    std::vector<View> views_;     // for each plane that is not local
    Vector<Buffer<int16_t>> buffers_;
    Vector<int16_t> zeros_;  // the channels of one position beyond the picture's edges
    int most_gathered_ = 0;       // the most numbers that a kUnshuffle2 stage gathers for a position
};

}  // namespace aec
