// Predicts and dequantises the latents of one tile with the entropy networks, on the CPU (FORMAT §8, Latents).
#pragma once

#include <memory>

#include "base/memory.h"
#include "engine/executor.h"
#include "engine/nets_pack.h"

namespace aec {

// Goes through the segments of one tile in order: k = 0, the hyperlatents, then k = 1 .. steps, the context steps. If
// there are two passes, the context steps run twice: first for some of the channels, then for the others. For each
// segment call predict(k), which gives the index of each symbol's CDF table. Then an encoder calls choose(k),
// which quantises the latents to symbols, and a decoder calls accept(k) with the symbols that it has read. After the
// last segment latents() returns the dequantised latents. A call out of order throws invalid_argument.
//
// Two threads must not use a Walk at the same time. It uses the instruction set that is current when it is made; no
// result depends on the instruction set or on the number of threads.
class Walk {
public:
    static constexpr int kMaxSide = 1 << 12;  // most rows or columns of latents; the largest tile of FORMAT §2 has 256

    // qualities: of the tile's blocks; height, width: of the latents, 1 to kMaxSide; threads: at least 1. first: for each
    // channel of the latents, whether the first of two passes codes it; empty: there is one pass. Throws
    // invalid_argument if one is out of range.
    Walk(std::shared_ptr<const Nets> nets, Qualities qualities, int height, int width, int threads,
         const std::vector<bool>& first = {});

    int segments() const { return 1 + nets_->config.steps * (first_.empty() ? 1 : 2); }
    // The shape of the tensor that segment k belongs to: the hyperlatents for k = 0, else the latents. A context step's
    // segment holds only some of the latents.
    int channels(int k) const { return k == 0 ? nets_->config.hyper : nets_->config.latents; }
    int height(int k) const { return k == 0 ? coarse_height_ : height_; }
    int width(int k) const { return k == 0 ? coarse_width_ : width_; }
    int64_t segment_size(int k) const;  // symbols in segment k

    // indexes, symbols: [segment_size(k)], in the order of FORMAT §8: channel, row, column. indexes are written.
    void predict(int k, uint8_t* indexes);
    // values: [height(k)][width(k)][channels(k)], what is to be quantised, with 12 fractional bits. dead_zones: for
    // each of the 64 indexes, as in choose_symbol. symbols are written.
    void choose(int k, const int16_t* values, const int16_t* dead_zones, int16_t* symbols);
    void accept(int k, const int16_t* symbols);
    // out: [height][width][latents], with 12 fractional bits.
    void latents(int16_t* out) const;

private:
    // Made at the beginning of each call, and destroyed at its end. It checks that the call comes in the right order,
    // and at the end advances to the next call, unless an exception was thrown.
    class Turn;

    // A feature map [rows][columns][stride], with channels padded to a multiple of kBlock; 0 at first.
    struct Numbers {
        Numbers(int height, int width, int channels);
        View view() const;
        int16_t* at(int y, int x) const { return data.get() + (static_cast<ptrdiff_t>(y) * columns + x) * stride; }

        int rows, columns, stride;
        Buffer<int16_t> data;
    };

    // The latents of one context step at every second position of a row; all these have the same phase, so their
    // channels are of the same group. The run has n positions, and group_size symbols at each. Symbol i at the t-th
    // position is at offset + i * height * width + t in the segment, belongs to channel i * steps + group, and lies at
    // column 2t + first.
    struct Run {
        int64_t offset;
        int group, first, n;
    };
    Run run_of(int k, int y, int parity) const;
    template <class Body>
    void for_runs(int k, int threads, Body body) const;
    template <class Body>
    void for_hyperlatents(Body body) const;
    const int16_t* step_sizes(const Run& run, int y, int x) const;
    void index_row(int k, const Run& run, int y, int x, uint8_t* indexes) const;
    template <class RowSymbols>
    void fill_step(int k, RowSymbols row_symbols);
    int threads_for(int64_t values) const;
    int step_of(int k) const { return (k - 1) % nets_->config.steps; }  // the context step of segment k > 0
    const uint8_t* coded(int k, int group) const;

    std::shared_ptr<const Nets> nets_;
    static constexpr int kFailed = -1;
    Qualities qualities_;
    Vector<uint8_t> first_;  // [2 passes][steps][group_size]: whether the pass codes the channel, by groups of
                                  // channels; empty if there is one pass, which codes all
    int height_, width_, coarse_height_, coarse_width_, threads_;
    int next_ = 0;          // the segment that comes next; kFailed: a call has thrown, and the state is incomplete
    bool symbols_ = false;  // what is expected next of it: true: choose or accept; false: predict
    const Kernels* kernels_;

    Numbers z_hat_, y_hat_;  // dequantised hyperlatents and latents; y_hat_ in the order of channels of step_program
    std::unique_ptr<Execution> prior_;
    std::unique_ptr<Execution> step_;  // its output are the means and index heads of the current segment
};

}  // namespace aec
