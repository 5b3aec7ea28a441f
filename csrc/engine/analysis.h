// The transforms of an encoder: pixels to latents (Analysis), and latents to hyperlatents (HyperAnalysis). A decoder
// does not need them, so they are no part of the format and may change. Like all networks here they use integers only,
// so that an encoder makes the same file on every machine.
#pragma once

#include "base/memory.h"
#include "engine/executor.h"

namespace aec {

// Latents are the sum of a linear transform of 16x16 pixels (the shortcut) and a deeper network (the branch), whose
// output is scaled by a gain that depends on the quality and the channel.
class Analysis {
public:
    // tensors: the tensors of FORMAT §7 whose names begin with `analysis.`, without that prefix. Throws
    // invalid_argument, which names the tensor, if one is missing, has another type or shape, has a value out of range,
    // or if an accumulator could overflow.
    Analysis(const TransformConfig& config, const Tensors& tensors);

    int latents() const { return config_.latents; }
    int halo() const { return config_.halo(); }  // how many latents around an area `run` looks at

    struct Picture {
        int rows, columns;  // of the latents of the whole picture
        Qualities qualities;
    };

    // The pixels of a rectangle of the picture: [16 * rows][16 * columns][3]. A sample p of 8 bits is given as
    // 32 * (p - 127.5).
    struct Pixels {
        Rect rect;             // in positions of latents
        const int16_t* data;
        ptrdiff_t row_stride;  // elements between two rows of pixels
    };

    // Computes the latents of a rectangle. area: in positions of latents. out: [area's rows][area's columns][latents].
    // Throws invalid_argument if the area is not within the picture, or if `pixels` does not contain the area and what
    // the branch reads around it.
    void run(const Picture& picture, const Pixels& pixels, const Rect& area, int16_t* out, int threads) const;

    // The checks of `run`, the first of which comes before a Plan is made. given: the rectangle of the pixels, in
    // positions of latents. reads: what the branch reads, in positions of 8x8 pixels.
    static void check_area(const Picture& picture, const Rect& area);
    static void check_pixels(const Rect& given, const Rect& area, const Rect& reads);

private:
    friend class AnalysisImage;  // which packs the weights for a GPU

    static constexpr int kLatents = 16;  // positions of latents that a thread computes at a time

    const int16_t* gain_of(int quality) const {
        return gain_.data() + static_cast<ptrdiff_t>(quality - 1) * config_.latents;
    }
    void run_latents(const Picture& picture, const View& pixels, const View& tail, int y, int x0, int x1,
                     const Kernels& kernels, int16_t* gathered, int32_t* sums, int16_t* out) const;

    TransformConfig config_;
    PackedProgram program_;
    PackedPointwise shortcut_;
    Vector<int16_t> gain_;  // [kQualities][latents]
    Vector<int32_t> gain_shift_;  // [latents]
};

class HyperAnalysis {
public:
    // tensors: the tensors whose names begin with `hyper_analysis.`, without that prefix. Throws as Analysis does.
    HyperAnalysis(int latents, int context, int hyper, const Tensors& tensors);

    int latents() const { return program_.program.planes[program_.program.inputs[0]].channels; }
    int hyper() const { return program_.program.planes[program_.program.output].channels; }

    // latents: [4 * rows][4 * columns][latents()], contiguous. out: [rows][columns][hyper()].
    void run(int rows, int columns, const Qualities& qualities, const int16_t* latents, int16_t* out, int threads) const;

private:
    friend class HyperAnalysisImage;

    PackedProgram program_;
};

}  // namespace aec
