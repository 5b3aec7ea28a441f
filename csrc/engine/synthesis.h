// The synthesis, which turns latents into pixels (FORMAT §8). A pixel is the sum of a linear transform of the latents
// at its position (the shortcut) and the output of a deeper network (the branch, a Program), rounded to a sample.
#pragma once

#include <stdexcept>

#include "base/memory.h"
#include "engine/executor.h"

namespace aec {

constexpr int kMaxShrinkLog2 = 3;

// Throws invalid_argument unless the latents that are given contain those that the branch reads.
inline void check_halo(const Rect& given, const Rect& reads) {
    if (!given.holds(reads))
        throw std::invalid_argument("the latents do not cover the area and the halo that the network reads around it");
}

class Synthesis {
public:
    // tensors: the tensors of FORMAT §7 whose names begin with `synthesis.`, without that prefix. Throws
    // invalid_argument, which names the tensor, if one is missing, has another type or shape, has a value out of range,
    // or if an accumulator could overflow.
    Synthesis(const TransformConfig& config, const Tensors& tensors);

    int latents() const { return config_.latents; }

    struct Picture {
        int rows, columns;  // of the latents of the whole picture
        Qualities qualities;
        int shrink_log2;    // 0 to 3: each sample is the mean of a square of 2^shrink_log2 pixels a side
        bool branch;        // false: leave out the branch, so that pixels are those of the shortcut
        bool gray;          // one channel instead of three
    };

    // The latents of a rectangle of the picture: [rows][columns][latents()], with 12 fractional bits.
    struct Latents {
        Rect rect;             // in positions of latents
        const int16_t* data;
        ptrdiff_t row_stride;  // elements between two rows
    };

    // Computes the samples of a rectangle. area: in samples, that is, in pixels of the shrunk picture. out: uint8 or
    // uint16 [area's rows][area's columns][1 or 3], with rows row_stride elements apart. Throws invalid_argument if the
    // area is not within the picture, or if `latents` does not contain those of the area and what the branch reads
    // around it.
    template <class Sample>
    void run(const Picture& picture, const Latents& latents, const Rect& area, Sample* out, ptrdiff_t row_stride,
             int threads) const;

    // As `run`, checks that an area is within the picture, and that a rectangle of latents contains those of the area;
    // returns these. The latents that the branch reads around them are for the caller to check.
    Rect checked_latents(const Picture& picture, const Rect& given, const Rect& area) const;

private:
    friend class SynthesisImage;  // which packs the weights for a GPU

    // The shortcut for one size of the picture. Since it is linear, a mean of its pixels is a convolution with means of
    // its weights. The outputs are the samples of a latent, in the order [rows][columns][3].
    struct Shortcut {
        PackedPointwise conv;
        Vector<int32_t> bias;  // includes half_of(shift)
    };
    // Intermediate results of a thread for up to kLatents positions of latents.
    struct Scratch;
    // kLatents: positions of latents that a thread computes at a time.
    static constexpr int kLatents = 24;

    void branch_of_latent(const Picture& picture, const View& branch, int y, int x, const Kernels& kernels,
                          Scratch& scratch) const;
    template <class Sample>
    void run_latents(const Picture& picture, const Latents& latents, const View* branch, const Rect& area, int y, int x0,
                     int x1, const Kernels& kernels, Scratch& scratch, Sample* out, ptrdiff_t row_stride) const;

    TransformConfig config_;
    PackedProgram program_;
    Shortcut shortcuts_[kMaxShrinkLog2 + 1];  // by shrink_log2
    int shortcut_shift_, gain_shift_;
    Vector<int16_t> gain_;  // [kQualities][8 rows][8 columns][3]: for each channel of the branch's output
};

}  // namespace aec
