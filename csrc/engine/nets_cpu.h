// One tile's way through the entropy nets on the CPU (FORMAT §8, steps 1 to 3).
#pragma once

#include <memory>

#include "engine/executor.h"
#include "engine/nets_pack.h"

namespace aec {

// Segments k = 0, the hyperlatents, to steps, in order: predict(k), then choose(k) or accept(k); in the end latents().
// A call out of order throws invalid_argument. Not for two threads at once. The instruction set is isa.h's when the walk
// starts; no result depends on it, nor on `threads`.
class Walk {
public:
    static constexpr int kMaxSide = 1 << 12;  // rows or columns of latents; FORMAT's largest tile has 256

    // quality: 1 to 100; height, width: 1 to kMaxSide; threads: at least 1. Else invalid_argument.
    Walk(std::shared_ptr<const Nets> nets, int quality, int height, int width, int threads);

    int segments() const { return 1 + nets_->config.steps; }
    // What a segment is about: all hyperlatents, or some of the latents.
    int channels(int k) const { return k == 0 ? nets_->config.hyper : nets_->config.latents; }
    int height(int k) const { return k == 0 ? coarse_height_ : height_; }
    int width(int k) const { return k == 0 ? coarse_width_ : width_; }
    int64_t segment_size(int k) const;

    void predict(int k, uint8_t* indexes);
    // values: [y][x][channel], in units of 2^-12; dead_zones: by index.
    void choose(int k, const int16_t* values, const int16_t* dead_zones, int16_t* symbols);
    void accept(int k, const int16_t* symbols);
    void latents(int16_t* out) const;  // [y][x][channel]

private:
    // For as long as a call takes: it must be its turn, and the next one's comes if nothing is thrown.
    class Turn;

    // Numbers of a plane that a walk holds, [positions][channels], room for whole vectors, 0 at first.
    struct Numbers {
        Numbers(int height, int width, int channels);
        View view() const;
        int16_t* at(int y, int x) const { return data.get() + (static_cast<ptrdiff_t>(y) * columns + x) * stride; }

        int rows, columns, stride;
        Buffer<int16_t> data;
    };

    // The latents of step k in every second position of a row: symbol (i, t), t < n, is number
    // offset + i * positions of the segment + t, belongs to channel i * steps + group, and lies at column 2t + first.
    struct Run {
        int64_t offset;
        int group, first, n;
    };
    Run run_of(int k, int y, int parity) const;
    template <class Body>
    void for_runs(int k, int threads, Body body) const;
    template <class RowSymbols>
    void fill_step(int k, RowSymbols row_symbols);
    int threads_for(int64_t values) const;

    std::shared_ptr<const Nets> nets_;
    static constexpr int kFailed = -1;
    int quality_, height_, width_, coarse_height_, coarse_width_, threads_;
    int next_ = 0;          // segment; kFailed: a call has thrown, and what it left is half done
    bool symbols_ = false;  // what comes next: its symbols, or first its indexes
    const Kernels* kernels_;

    Numbers z_hat_, y_hat_;  // the latter's latents step by step, as step_program says
    std::unique_ptr<Execution> prior_;
    std::unique_ptr<Execution> step_;  // whose output are the means and heads of indexes of the segment at hand
};

}  // namespace aec
