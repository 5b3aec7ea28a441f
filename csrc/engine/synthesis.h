// Latents -> pixels (FORMAT §8): the branch, which is a program, the shortcut beside it, and their sum's samples.
#pragma once

#include "engine/executor.h"

namespace aec {

class Synthesis {
public:
    // tensors: those of FORMAT §7 named `synthesis.*`, without that prefix. Throws invalid_argument, naming the tensor that
    // is missing, of another type or shape, or out of range; so is one whose accumulator could overflow.
    Synthesis(const TransformConfig& config, const Tensors& tensors);

    int latents() const { return config_.latents; }

    struct Picture {
        int rows, columns;  // of all its latents
        int quality;
        int shrink_log2;    // samples are means over squares of 2^0, .. 2^3 pixels
        bool branch;        // or the shortcut alone
        bool gray;          // one channel, or three
    };

    // Latents of a part of the picture: [rows][columns][channels].
    struct Latents {
        Rect rect;
        const int16_t* data;
        ptrdiff_t row_stride;
    };

    // out: uint8 or uint16 [area's rows][area's columns][channels], rows row_stride numbers apart. Throws invalid_argument
    // where the area is not within the picture, or the latents are not all that are read.
    template <class Sample>
    void run(const Picture& picture, const Latents& latents, const Rect& area, Sample* out, ptrdiff_t row_stride,
             int threads) const;

private:
    // The shortcut of samples that are means: outputs in the order [rows][columns][3 channels] of a latent's samples.
    struct Shortcut {
        PackedPointwise conv;
        std::vector<int32_t> bias;  // with half_of(shift)
    };
    // What a thread hands from one part of `run_latents` to the next, of up to kLatents latents.
    struct Scratch;
    static constexpr int kLatents = 16, kMaxShrinkLog2 = 3;

    Rect latents_of(const Picture& picture, const Rect& area) const;
    void branch_of_latent(const Picture& picture, const View& branch, int y, int x, const Kernels& kernels,
                          Scratch& scratch) const;
    template <class Sample>
    void run_latents(const Picture& picture, const Latents& latents, const View* branch, const Rect& area, int y, int x0,
                     int x1, const Kernels& kernels, Scratch& scratch, Sample* out, ptrdiff_t row_stride) const;

    TransformConfig config_;
    PackedProgram program_;
    Shortcut shortcuts_[kMaxShrinkLog2 + 1];
    int shortcut_shift_, gain_shift_;
    std::vector<int16_t> gain_;  // [kQualities][8][8][3]
};

}  // namespace aec
