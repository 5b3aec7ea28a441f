// Pixels -> latents -> hyperlatents, for encoders. Decoders do not depend on it, so that it may change; but like all here
// it is integers, and files are the same wherever they are made.
#pragma once

#include "engine/executor.h"

namespace aec {

class Analysis {
public:
    // tensors: those of FORMAT §7 named `analysis.*`, without that prefix. Throws invalid_argument as `Synthesis` does.
    Analysis(const TransformConfig& config, const Tensors& tensors);

    int latents() const { return config_.latents; }

    struct Picture {
        int rows, columns;  // of all its latents
        int quality;
    };

    // Pixels of a part of the picture, which is in latents: [rows][columns][3 channels], 32 * (2 * p - 255) / 2 for a sample
    // p of 8 bits.
    struct Pixels {
        Rect rect;
        const int16_t* data;
        ptrdiff_t row_stride;
    };

    // out: [area's rows][area's columns][channels]. Throws invalid_argument where the area is not within the picture, or the
    // pixels are not all that are read.
    void run(const Picture& picture, const Pixels& pixels, const Rect& area, int16_t* out, int threads) const;

private:
    static constexpr int kLatents = 16;  // that are worked on at once

    const int16_t* gain_of(int quality) const {
        return gain_.data() + static_cast<ptrdiff_t>(quality - 1) * config_.latents;
    }
    void run_latents(const Picture& picture, const View& pixels, const View& tail, int y, int x0, int x1,
                     const Kernels& kernels, int16_t* gathered, int32_t* sums, int16_t* out) const;

    TransformConfig config_;
    PackedProgram program_;
    PackedPointwise shortcut_;
    std::vector<int16_t> gain_;  // [kQualities][latents]
    std::vector<int32_t> gain_shift_;
};

class HyperAnalysis {
public:
    // tensors: those named `hyper_analysis.*`, without that prefix. Throws as above.
    HyperAnalysis(int latents, int context, int hyper, const Tensors& tensors);

    int latents() const { return program_.program.planes[program_.program.inputs[0]].channels; }
    int hyper() const { return program_.program.planes[program_.program.output].channels; }

    // latents: [4 * rows][4 * columns][channels], contiguous; out: [rows][columns][channels].
    void run(int rows, int columns, int quality, const int16_t* latents, int16_t* out, int threads) const;

private:
    PackedProgram program_;
};

}  // namespace aec
