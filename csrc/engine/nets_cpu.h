// One tile's way through the entropy nets on the CPU: a schedule of the rules in nets.h (FORMAT §8, steps 1 to 3).
#pragma once

#include <memory>

#include "base/buffer.h"
#include "base/parallel.h"
#include "engine/grid.h"
#include "engine/nets_pack.h"

namespace aec {

// What a tile's convolutions say, int16 [positions][channels].
struct Features {
    Features(int positions, int channels)
        : channels(round_up(channels, kBlock)), data(static_cast<size_t>(positions) * this->channels) {}
    int16_t* at(int position) const { return data.get() + static_cast<ptrdiff_t>(position) * channels; }

    int channels;
    Buffer<int16_t> data;
};

// Segments k = 0, the hyperlatents, to steps, in order: predict(k), then choose(k) or accept(k); in the end latents().
// A call out of order throws invalid_argument. Not for two threads at once. The instruction set is isa.h's when the walk
// starts; no result depends on it, nor on `threads`.
class Walk {
public:
    static constexpr int kMaxSide = 1 << 12;  // rows or columns of latents; FORMAT's largest tile has 256

    // quality: 1 to 100; height, width: 1 to kMaxSide; threads: at least 1. Else invalid_argument.
    Walk(std::shared_ptr<const Nets> nets, int quality, int height, int width, int threads);

    int segments() const { return 1 + nets_->config.steps; }
    int channels(int k) const { return k == 0 ? nets_->config.hyper : nets_->config.latents; }
    const Grid& grid(int k) const { return k == 0 ? grid4_ : grid_; }
    int64_t segment_size(int k) const;

    void predict(int k, uint8_t* indexes);
    // values: [y][x][channel], in units of 2^-12; dead_zones: by index.
    void choose(int k, const int16_t* values, const int16_t* dead_zones, int16_t* symbols);
    void accept(int k, const int16_t* symbols);
    void latents(int16_t* out) const;  // [y][x][channel]

private:
    // What a thread hands from layer to layer within a chunk.
    struct Scratch {
        Features space, mix;
        std::vector<uint8_t> indexes;     // of one row of a plane, [columns][group_size]
        std::vector<int16_t> symbols;     // the same
        std::vector<int16_t> values;      // of one position, [group_size]
        std::vector<int16_t> dead_zones;  // the same
    };

    // For as long as a call takes: it must be its turn, and the next one's comes if nothing is thrown.
    class Turn;

    void run_prior(Team& team, Scratch& scratch);
    void run_step(Team& team, Scratch& scratch, int k, uint8_t* indexes);
    void enter_block(const PackedBlock& block, const Features& x, const Features& space, const Chunk& chunk) const;
    void leave_block(const PackedBlock& block, const Features& x, const Features& space, const Grid& grid,
                     const Chunk& chunk, Scratch& scratch) const;

    // The part of step k's segment that lies in one row of a plane: symbol (i, t), t < n, is number
    // offset + i * positions() + t and belongs to channel i * steps + group.
    struct Run {
        int64_t offset;
        int group, first, n;
    };
    Run run_of(int k, int plane, int row) const;
    template <class RowSymbols>
    void fill_step(int k, RowSymbols row_symbols);
    void write_indexes(int k, const Chunk& chunk, Scratch& scratch, uint8_t* indexes) const;
    int threads_for(int64_t values) const;

    std::shared_ptr<const Nets> nets_;
    static constexpr int kFailed = -1;
    int quality_, threads_;
    int next_ = 0;          // segment; kFailed: a call has thrown, and what it left is half done
    bool symbols_ = false;  // what comes next: its symbols, or first its indexes
    const Kernels* kernels_;

    Grid grid4_, grid2_, grid1_, grid_;  // hyperlatents; twice, four times as fine; latents: the last, cropped
    std::vector<Chunk> chunks4_, chunks2_, chunks1_, chunks_;
    std::vector<int32_t> up2_[4], up1_[4];  // by corner: where a position's output lies in the finer grid
    std::vector<int32_t> crop_;             // of grid1_ to grid_; -1: nowhere

    Features z_hat_, x4_, space4_, x2_, space2_, x1_, space_;
    std::vector<Features> x_;  // of each step
    Features heads_;           // means, then indexes before index_of
    Features y_hat_;           // step by step, as PackedPhase says
    std::vector<int16_t> zeros_;
    std::vector<Scratch> scratch_;
};

}  // namespace aec
