// Runs a program (program.h) on the CPU, for a rectangle of its output, as a plan says (plan.h).
#pragma once

#include <vector>

#include "base/buffer.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "engine/plan.h"
#include "engine/qualities.h"

namespace aec {

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
    // The arguments after the first are those of Plan. `packed` must outlive this object.
    Execution(const PackedProgram& packed, int rows, int columns, Rect area);

    // The rectangle of an input plane that `run` reads.
    const Rect& reads(int input = 0) const { return plan_.needed[program_.inputs[input]]; }

    // inputs: for each input of the program a view that contains reads(), else invalid_argument is thrown. Kernels read
    // channels in pairs: if the number of channels is odd, one more element after the last must be readable. qualities:
    // of the whole picture. block_log2: a block of qualities has 2^block_log2 positions of resolution 1 a side. threads:
    // the most threads to use. The result does not depend on kernels and threads.
    void run(const std::vector<View>& inputs, const Qualities& qualities, int block_log2, const Kernels& kernels,
             int threads);

    const View& output() const { return views_[program_.output]; }

private:
    static constexpr int kSegment = 128;  // the most positions in a segment, the unit of work of a thread

    // All stages of a round run on one segment of a row before the next segment is begun, so that the segment's
    // activations stay in the cache. After a round the threads wait for each other.
    static int row_segments(const Round& round) { return (round.rect.columns() + kSegment - 1) / kSegment; }
    static int64_t segments(const Round& round) { return int64_t{row_segments(round)} * round.rect.rows(); }

    void run_segment(const Round& round, int y, int x0, int x1, const View* views, int16_t* gathered,
                     const Qualities& qualities, int block_log2, const Kernels& kernels) const;
    void run_pointwise(const Stage& stage, const PackedStage& packed, const View& in, const View& out, int y, int x0,
                       int x1, int16_t* gathered, int quality, const Kernels& kernels) const;
    void run_depthwise(const PackedDepthwise& conv, const View& in, const View& out, int resolution, int y, int x0,
                       int x1, const Kernels& kernels) const;

    const Program& program_;
    const Vector<PackedStage>& packed_;
    const Plan plan_;
    std::vector<View> views_;     // for each plane that is not local; of a local one each thread has a segment
    Vector<Buffer<int16_t>> buffers_;
    Vector<int16_t> zeros_;  // the channels of one position beyond the picture's edges
    int most_gathered_ = 0;       // the most numbers that a kUnshuffle2 stage gathers for a position
};

}  // namespace aec
