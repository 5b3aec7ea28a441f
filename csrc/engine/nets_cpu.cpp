// Layers that look at one position only run one after the other on a chunk of positions, while it is in the cache; the
// depthwise convolutions look at the neighbours, so all threads wait for each other in front of them.
#include "engine/nets_cpu.h"

#include <exception>
#include <stdexcept>
#include <string>

#include "base/range.h"
#include "base/transpose.h"
#include "engine/segment.h"

namespace aec {
namespace {

// Below, a thread's start and the waiting for it cost more than it brings.
constexpr int kPositionsPerThread = 64;

constexpr int kMaxRounds = 16;  // of one segment's threads: the prior and a step have fewer

int coarse(int side) {
    return (in_range(side, 1, Walk::kMaxSide, "height or width") + kHyperStride - 1) / kHyperStride;
}

void fill_places(const Grid& from, const Grid& to, std::vector<int32_t> (&places)[4]) {
    for (int corner = 0; corner < 4; ++corner) {
        places[corner].resize(from.positions());
        for (int y = 0; y < from.height(); ++y)
            for (int x = 0; x < from.width(); ++x)
                places[corner][from.at(y, x)] = to.at(2 * y + corner / 2, 2 * x + corner % 2);
    }
}

int longest(const std::vector<Chunk>& chunks) {
    int n = 0;
    for (const Chunk& chunk : chunks) n = std::max(n, chunk.n);
    return n;
}

}  // namespace

const Kernels& kernels_of(Isa isa) {
    switch (isa) {
#if defined(__x86_64__)
        case Isa::kAvx2: return kAvx2Kernels;
        case Isa::kAvx512: return kAvx512Kernels;
#elif defined(__aarch64__)
        case Isa::kNeon: return kNeonKernels;
#endif
        default: return kScalarKernels;
    }
}

Walk::Walk(std::shared_ptr<const Nets> nets, int quality, int height, int width, int threads)
    : nets_(std::move(nets)), quality_(in_range(quality, 1, kQualities, "quality")),
      threads_(in_range(threads, 1, 1 << 16, "threads")), kernels_(&kernels_of(current_isa())),
      grid4_(coarse(height), coarse(width)), grid2_(2 * coarse(height), 2 * coarse(width)),
      grid1_(4 * coarse(height), 4 * coarse(width)),
      grid_(height, width), z_hat_(grid4_.positions(), nets_->config.hyper),
      x4_(grid4_.positions(), nets_->config.context), space4_(grid4_.positions(), nets_->config.context),
      x2_(grid2_.positions(), nets_->config.context), space2_(grid2_.positions(), nets_->config.context),
      x1_(grid1_.positions(), nets_->config.context), space_(grid1_.positions(), nets_->config.context),
      heads_(grid_.positions(), 2 * nets_->group_size()), y_hat_(grid_.positions(), nets_->config.latents) {
    const NetsConfig& config = nets_->config;
    threads_ = std::clamp(grid1_.positions() / kPositionsPerThread, 1, threads_);
    chunks4_ = chunks_of(grid4_, threads_);
    chunks2_ = chunks_of(grid2_, threads_);
    chunks1_ = chunks_of(grid1_, threads_);
    chunks_ = chunks_of(grid_, threads_);
    fill_places(grid4_, grid2_, up2_);
    fill_places(grid2_, grid1_, up1_);
    crop_.assign(grid1_.positions(), -1);
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x) crop_[grid1_.at(y, x)] = grid_.at(y, x);

    for (int k = 0; k < config.steps; ++k) x_.emplace_back(grid_.positions(), config.context);
    // A pair of inputs may have one that is not read yet: its weight is 0, but it must be a number.
    std::fill_n(y_hat_.data.get(), static_cast<size_t>(grid_.positions()) * y_hat_.channels, int16_t{0});
    std::fill_n(z_hat_.data.get(), static_cast<size_t>(grid4_.positions()) * z_hat_.channels, int16_t{0});
    zeros_.assign(x1_.channels, 0);
    const int n = std::max({longest(chunks4_), longest(chunks2_), longest(chunks1_), longest(chunks_)});
    const size_t row_size = static_cast<size_t>(grid_.columns(0)) * nets_->group_size();
    for (int thread = 0; thread < threads_; ++thread)
        scratch_.push_back({Features(n, config.context), Features(n, 2 * config.context),
                            std::vector<uint8_t>(row_size), std::vector<int16_t>(row_size),
                            std::vector<int16_t>(nets_->group_size()), std::vector<int16_t>(nets_->group_size())});
}

int64_t Walk::segment_size(int k) const {
    in_range(k, 0, segments() - 1, "segment");
    return int64_t{grid(k).positions()} * (k == 0 ? nets_->config.hyper : nets_->group_size());
}

class Walk::Turn {
public:
    Turn(Walk& walk, bool symbols, int k) : walk_(walk), symbols_(symbols), k_(k) {
        if (walk.next_ == kFailed) throw std::invalid_argument("an earlier call has failed");
        if (k != walk.next_ || symbols != walk.symbols_)
            throw std::invalid_argument("segment " + std::to_string(k) + " out of order: what comes next is the " +
                                        (walk.symbols_ ? "symbols" : "indexes") + " of segment " +
                                        std::to_string(walk.next_));
        in_range(k, 0, walk.segments() - 1, "segment");
        walk.next_ = kFailed;
    }
    ~Turn() {
        if (std::uncaught_exceptions() > exceptions_) return;
        walk_.symbols_ = !symbols_;
        walk_.next_ = k_ + symbols_;
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

private:
    Walk& walk_;
    const bool symbols_;
    const int k_, exceptions_ = std::uncaught_exceptions();
};

// ------------------------------------------------------------------------------------------------------------- the nets

void Walk::enter_block(const PackedBlock& block, const Features& x, const Features& space, const Chunk& chunk) const {
    PointwiseCall call = {x.at(chunk.first), x.channels, chunk.n, space.at(chunk.first), space.channels};
    call.is_leaky = true;
    kernels_->pointwise(block.space_in.view(), call);
}

void Walk::leave_block(const PackedBlock& block, const Features& x, const Features& space, const Grid& grid,
                       const Chunk& chunk, Scratch& scratch) const {
    const int columns = grid.columns(chunk.plane), inner = std::max(columns - 1, 1);
    for (int row = 0; row < chunk.n_rows; ++row)
        for (const auto& [first, last] : {std::pair(0, 1), std::pair(1, inner), std::pair(inner, columns)}) {
            if (first >= last) continue;
            DepthwiseCall call = taps_of(grid, space.at(0), space.channels, zeros_.data(), chunk.plane,
                                         chunk.row + row, first, last);
            call.out = scratch.space.at(row * columns + first);
            call.out_stride = scratch.space.channels;
            kernels_->depthwise(block.space.view(), call);
        }
    PointwiseCall call = {scratch.space.at(0), scratch.space.channels, chunk.n, x.at(chunk.first), x.channels};
    call.adds_to_out = true;
    kernels_->pointwise(block.space_out.view(), call);

    call = {x.at(chunk.first), x.channels, chunk.n, scratch.mix.at(0), scratch.mix.channels};
    call.is_leaky = true;
    kernels_->pointwise(block.mix_in.view(), call);

    call = {scratch.mix.at(0), scratch.mix.channels, chunk.n, x.at(chunk.first), x.channels};
    call.adds_to_out = true;
    kernels_->pointwise(block.mix_out.view(), call);
}

// From the hyperlatents to every step's Add(from_hyper(prior), quality).
void Walk::run_prior(Team& team, Scratch& scratch) {
    const auto up = [&](const std::array<PackedPointwise, 4>& convs, const Features& from, const Chunk& chunk,
                        const std::vector<int32_t>(&places)[4], const Features& to) {
        for (int corner = 0; corner < 4; ++corner) {
            PointwiseCall call = {from.at(chunk.first), from.channels, chunk.n, to.at(0), to.channels};
            call.places = places[corner].data() + chunk.first;
            kernels_->pointwise(convs[corner].view(), call);
        }
    };
    team.each(chunks4_.size(), [&](int64_t i) {
        const Chunk& chunk = chunks4_[i];
        PointwiseCall call = {z_hat_.at(chunk.first), z_hat_.channels, chunk.n, x4_.at(chunk.first), x4_.channels};
        call.vector = nets_->quality.row(quality_);
        kernels_->pointwise(nets_->head.view(), call);
        enter_block(nets_->body4, x4_, space4_, chunk);
    });
    team.each(chunks4_.size(), [&](int64_t i) {
        leave_block(nets_->body4, x4_, space4_, grid4_, chunks4_[i], scratch);
        up(nets_->up2, x4_, chunks4_[i], up2_, x2_);
    });
    team.each(chunks2_.size(), [&](int64_t i) { enter_block(nets_->body2, x2_, space2_, chunks2_[i]); });
    team.each(chunks2_.size(), [&](int64_t i) {
        leave_block(nets_->body2, x2_, space2_, grid2_, chunks2_[i], scratch);
        up(nets_->up1, x2_, chunks2_[i], up1_, x1_);
    });
    team.each(chunks1_.size(), [&](int64_t i) { enter_block(nets_->body1, x1_, space_, chunks1_[i]); });
    team.each(chunks1_.size(), [&](int64_t i) {
        const Chunk& chunk = chunks1_[i];
        leave_block(nets_->body1, x1_, space_, grid1_, chunk, scratch);
        for (int k = 0; k < nets_->config.steps; ++k) {
            PointwiseCall call = {x1_.at(chunk.first), x1_.channels, chunk.n, x_[k].at(0), x_[k].channels};
            call.places = crop_.data() + chunk.first;
            call.vector = nets_->steps[k].quality.row(quality_);
            call.is_leaky = k == 0;  // the later ones add what from_latents says first
            kernels_->pointwise(nets_->steps[k].from_hyper.view(), call);
        }
    });
}

void Walk::run_step(Team& team, Scratch& scratch, int k, uint8_t* indexes) {
    const PackedStep& step = nets_->steps[k];
    const Features& x = x_[k];
    const auto phase_of_chunk = [&](const Chunk& chunk) -> const PackedPhase& {
        return step.phases[Grid::phase_of_plane(chunk.plane, nets_->config.steps)];
    };
    team.each(chunks_.size(), [&](int64_t i) {
        const Chunk& chunk = chunks_[i];
        if (k > 0) {
            PointwiseCall call = {y_hat_.at(chunk.first), y_hat_.channels, chunk.n, x.at(chunk.first), x.channels};
            call.adds_to_out = call.is_leaky = true;
            kernels_->pointwise(phase_of_chunk(chunk).from_latents.view(), call);
        }
        enter_block(step.body, x, space_, chunk);
    });
    team.each(chunks_.size(), [&](int64_t i) {
        const Chunk& chunk = chunks_[i];
        leave_block(step.body, x, space_, grid_, chunk, scratch);
        PointwiseCall call = {x.at(chunk.first), x.channels, chunk.n, heads_.at(chunk.first), heads_.channels};
        call.vector = phase_of_chunk(chunk).heads_quality.row(quality_);
        kernels_->pointwise(phase_of_chunk(chunk).heads.view(), call);
        write_indexes(k, chunk, scratch, indexes);
    });
}

void Walk::predict(int k, uint8_t* indexes) {
    const Turn turn(*this, false, k);
    if (k == 0) {
        const uint8_t* index = nets_->hyper_index.data() + (quality_ - 1) * nets_->config.hyper;
        for (int c = 0; c < nets_->config.hyper; ++c)
            std::fill_n(indexes + int64_t{c} * grid4_.positions(), grid4_.positions(), index[c]);
        return;
    }
    parallel(threads_, kMaxRounds, [&](Team& team, int thread) {
        if (k == 1) run_prior(team, scratch_[thread]);
        run_step(team, scratch_[thread], k - 1, indexes);
    });
}

// ------------------------------------------------------------------------------------------ segments and their symbols

Walk::Run Walk::run_of(int k, int plane, int row) const {
    const int steps = nets_->config.steps, group = k ^ Grid::phase_of_plane(plane, steps);
    const int64_t offset =
        channel_start(steps, k, group, grid_.height(), grid_.width()) +
        rank_of(steps, k ^ group, grid_.width(), 2 * row + Grid::row_parity(plane), Grid::column_parity(plane));
    return {offset, group, grid_.first(plane, row), grid_.columns(plane)};
}

void Walk::write_indexes(int k, const Chunk& chunk, Scratch& scratch, uint8_t* indexes) const {
    const int group_size = nets_->group_size();
    for (int row = chunk.row; row < chunk.row + chunk.n_rows; ++row) {
        const Run run = run_of(k, chunk.plane, row);
        for (int t = 0; t < run.n; ++t)
            kernels_->index_row(heads_.at(run.first + t) + group_size, group_size, &scratch.indexes[t * group_size]);
        transpose(scratch.indexes.data(), group_size, run.n, group_size, indexes + run.offset, grid_.positions());
    }
}

// Copying symbols is quick: a thread must get many to be worth its start.
int Walk::threads_for(int64_t values) const {
    return static_cast<int>(std::clamp<int64_t>(values >> 16, 1, threads_));
}

// row_symbols(run, plane, row, step, scratch): scratch.symbols[t * group_size + i] becomes symbol (i, t) of the run.
template <class RowSymbols>
void Walk::fill_step(int k, RowSymbols row_symbols) {
    const int steps = nets_->config.steps, group_size = nets_->group_size();
    std::vector<int16_t> step_sizes[kMaxSteps];  // by group
    const int16_t* step = nets_->step.data() + (quality_ - 1) * nets_->config.latents;
    for (int c = 0; c < nets_->config.latents; ++c) step_sizes[c % steps].push_back(step[c]);
    parallel(threads_for(segment_size(k + 1)), 1, [&](Team& team, int thread) {
        Scratch& scratch = scratch_[thread];
        team.each(chunks_.size(), [&](int64_t i) {
            const Chunk& chunk = chunks_[i];
            for (int row = chunk.row; row < chunk.row + chunk.n_rows; ++row) {
                const Run run = run_of(k, chunk.plane, row);
                row_symbols(run, chunk.plane, row, step_sizes[run.group].data(), scratch);
                for (int t = 0; t < run.n; ++t)
                    kernels_->reconstruct_row(heads_.at(run.first + t), &scratch.symbols[t * group_size],
                                          step_sizes[run.group].data(), group_size,
                                          y_hat_.at(run.first + t) + k * group_size);
            }
        });
    });
}

void Walk::choose(int k, const int16_t* values, const int16_t* dead_zones, int16_t* symbols) {
    const Turn turn(*this, true, k);
    if (k == 0) {
        const int16_t* step = nets_->hyper_step.data() + (quality_ - 1) * nets_->config.hyper;
        const uint8_t* index = nets_->hyper_index.data() + (quality_ - 1) * nets_->config.hyper;
        for (int c = 0; c < nets_->config.hyper; ++c)
            for (int y = 0; y < grid4_.height(); ++y)
                for (int x = 0; x < grid4_.width(); ++x) {
                    const ptrdiff_t at = static_cast<ptrdiff_t>(y) * grid4_.width() + x;
                    *symbols = choose_symbol(values[at * nets_->config.hyper + c], 0, step[c], index[c], dead_zones[index[c]]);
                    z_hat_.at(grid4_.at(y, x))[c] = reconstruct(0, *symbols++, step[c]);
                }
        return;
    }
    const int steps = nets_->config.steps, group_size = nets_->group_size();
    const ptrdiff_t channels = nets_->config.latents;
    fill_step(k - 1, [&](const Run& run, int plane, int row, const int16_t* step, Scratch& scratch) {
        const ptrdiff_t y = 2 * row + Grid::row_parity(plane), x = Grid::column_parity(plane);
        const int16_t* value = values + (y * grid_.width() + x) * channels + run.group;
        for (int t = 0; t < run.n; ++t, value += 2 * channels) {
            for (int i = 0; i < group_size; ++i) scratch.values[i] = value[i * steps];
            const int16_t* said = heads_.at(run.first + t);
            kernels_->index_row(said + group_size, group_size, scratch.indexes.data());
            for (int i = 0; i < group_size; ++i) scratch.dead_zones[i] = dead_zones[scratch.indexes[i]];
            kernels_->choose_row(scratch.values.data(), said, step, scratch.indexes.data(), scratch.dead_zones.data(),
                                 group_size, &scratch.symbols[t * group_size]);
        }
        transpose(scratch.symbols.data(), group_size, run.n, group_size, symbols + run.offset, grid_.positions());
    });
}

void Walk::accept(int k, const int16_t* symbols) {
    const Turn turn(*this, true, k);
    if (k == 0) {
        const int16_t* step = nets_->hyper_step.data() + (quality_ - 1) * nets_->config.hyper;
        for (int c = 0; c < nets_->config.hyper; ++c)
            for (int y = 0; y < grid4_.height(); ++y)
                for (int x = 0; x < grid4_.width(); ++x)
                    z_hat_.at(grid4_.at(y, x))[c] = reconstruct(0, *symbols++, step[c]);
        return;
    }
    const int group_size = nets_->group_size();
    fill_step(k - 1, [&](const Run& run, int, int, const int16_t*, Scratch& scratch) {
        transpose(symbols + run.offset, grid_.positions(), group_size, run.n, scratch.symbols.data(), group_size);
    });
}

void Walk::latents(int16_t* out) const {
    if (next_ != segments()) throw std::invalid_argument("segment " + std::to_string(next_) + " is not there yet");
    const NetsConfig& config = nets_->config;
    parallel_for(threads_for(int64_t{config.latents} * grid_.positions()), chunks_.size(), [&](int64_t i) {
        const Chunk& chunk = chunks_[i];
        const int phase = Grid::phase_of_plane(chunk.plane, config.steps), columns = grid_.columns(chunk.plane);
        for (int at = 0; at < chunk.n; ++at) {
            const int y = 2 * (chunk.row + at / columns) + Grid::row_parity(chunk.plane);
            const int x = 2 * (at % columns) + Grid::column_parity(chunk.plane);
            kernels_->order_row(y_hat_.at(chunk.first + at), nets_->group_size(), config.steps, phase,
                                out + (static_cast<ptrdiff_t>(y) * grid_.width() + x) * config.latents);
        }
    });
}

}  // namespace aec
