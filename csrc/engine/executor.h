// Runs a program (program.h) on a part of a picture, on the CPU.
#pragma once

#include <vector>

#include "base/buffer.h"
#include "base/parallel.h"
#include "engine/program.h"

namespace aec {

// Positions y0 <= y < y1, x0 <= x < x1.
struct Rect {
    int y0, y1, x0, x1;
    bool empty() const { return y0 >= y1 || x0 >= x1; }
    int rows() const { return y1 - y0; }
    int columns() const { return x1 - x0; }
    bool holds(const Rect& other) const {
        return other.empty() || (y0 <= other.y0 && other.y1 <= y1 && x0 <= other.x0 && other.x1 <= x1);
    }
};

// A part of a plane in memory: [rows][columns][channels], positions `stride` and rows `row_stride` numbers apart.
struct View {
    Rect rect = {};
    int16_t* data = nullptr;
    ptrdiff_t row_stride = 0, stride = 0;

    int16_t* at(int y, int x) const { return data + (y - rect.y0) * row_stride + (x - rect.x0) * stride; }
};

// What a program says of a part of its output plane.
class Execution {
public:
    // rows, columns: of the whole picture in positions of resolution 1. area: of the output plane, within the picture.
    // packed must outlive this.
    Execution(const PackedProgram& packed, int rows, int columns, Rect area);

    // What of an input plane it reads.
    const Rect& reads(int input = 0) const { return needed_[program_.inputs[input]]; }

    // inputs: those of the program; each holds reads(), else invalid_argument, and has an even number of channels or room
    // for one more number behind the last. quality: 1 to kQualities.
    void run(const std::vector<View>& inputs, int quality, const Kernels& kernels, int threads);

    const View& output() const { return views_[program_.output]; }

private:
    static constexpr int kSegment = 128;  // positions of a row that are worked on at once, at most

    // Stages that need no other position's results: they run one after the other on a segment of a row, while it is in
    // the cache. Behind a round all threads wait for each other.
    struct Round {
        size_t first, last;  // stages
        int resolution;
        Rect rect;
        int row_segments() const { return (rect.columns() + kSegment - 1) / kSegment; }
        int64_t segments() const { return int64_t{row_segments()} * rect.rows(); }
    };

    bool is_input(int plane) const;
    void find_rounds();
    void find_rects(Rect area);
    void find_local_planes();
    Rect clipped(Rect rect, int resolution) const;
    void run_segment(const Round& round, int y, int x0, int x1, const View* views, int16_t* gathered, int quality,
                     const Kernels& kernels) const;
    void run_pointwise(const Stage& stage, const PackedStage& packed, const View& in, const View& out, int y, int x0,
                       int x1, int16_t* gathered, int quality, const Kernels& kernels) const;
    void run_depthwise(const PackedDepthwise& conv, const View& in, const View& out, int resolution, int y, int x0,
                       int x1, const Kernels& kernels) const;

    const Program& program_;
    const std::vector<PackedStage>& packed_;
    int rows_, columns_;
    std::vector<Round> rounds_;
    std::vector<Rect> needed_;    // by plane: all of it that is ever written or read
    std::vector<bool> is_local_;  // by plane: needed within a segment only
    std::vector<View> views_;
    std::vector<Buffer<int16_t>> buffers_;
    std::vector<int16_t> zeros_;
    int most_gathered_ = 0;  // numbers for one position of an Unshuffle
};

}  // namespace aec
