#include "engine/nets_cpu.h"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <string>

#include "base/range.h"
#include "base/transpose.h"
#include "engine/segment.h"

namespace aec {
namespace {

// With fewer positions than this, starting a thread and waiting for it takes longer than it saves.
constexpr int kPositionsPerThread = 64;

int coarse(int side) {
    return (in_range(side, 1, Walk::kMaxSide, "height or width") + kHyperStride - 1) / kHyperStride;
}

}  // namespace

const Kernels& kernels_of(Isa isa) {
    switch (isa) {
#if defined(__SSE2__) || defined(__wasm_simd128__)
        case Isa::kSimd128: return kSimd128Kernels;
#endif
#if defined(__x86_64__)
        case Isa::kAvx2: return kAvx2Kernels;
        case Isa::kAvx512: return kAvx512Kernels;
#elif defined(__aarch64__)
        case Isa::kNeon: return kNeonKernels;
#endif
        default: return kScalarKernels;
    }
}

Walk::Numbers::Numbers(int height, int width, int channels)
    : rows(height), columns(width), stride(round_up(channels, kBlock)),
      data(static_cast<size_t>(height) * width * stride) {
    // Kernels load input channels in pairs, and of a pair the second may be a latent that is not known yet. Its weight
    // is 0, but the memory must be initialised.
    std::fill_n(data.get(), static_cast<size_t>(height) * width * stride, int16_t{0});
}

View Walk::Numbers::view() const {
    return {{0, rows, 0, columns}, data.get(), static_cast<ptrdiff_t>(columns) * stride, stride};
}

Walk::Walk(std::shared_ptr<const Nets> nets, int quality, int height, int width, int threads)
    : nets_(std::move(nets)), quality_(in_range(quality, 1, kQualities, "quality")), height_(height), width_(width),
      coarse_height_(coarse(height)), coarse_width_(coarse(width)),
      threads_(std::clamp(height * width / kPositionsPerThread, 1, in_range(threads, 1, 1 << 16, "threads"))),
      kernels_(&kernels_of(current_isa())), z_hat_(coarse_height_, coarse_width_, nets_->config.hyper),
      y_hat_(height, width, nets_->config.latents) {}

int64_t Walk::segment_size(int k) const {
    in_range(k, 0, segments() - 1, "segment");
    return int64_t{height(k)} * width(k) * (k == 0 ? nets_->config.hyper : nets_->group_size());
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

void Walk::predict(int k, uint8_t* indexes) {
    const Turn turn(*this, false, k);
    if (k == 0) {
        const uint8_t* index = nets_->hyper_index.data() + (quality_ - 1) * nets_->config.hyper;
        const int64_t positions = int64_t{coarse_height_} * coarse_width_;
        for (int c = 0; c < nets_->config.hyper; ++c) std::fill_n(indexes + c * positions, positions, index[c]);
        return;
    }
    const Rect whole = {0, height_, 0, width_};
    if (k == 1) {
        prior_ = std::make_unique<Execution>(nets_->prior, coarse_height_, coarse_width_, whole);
        prior_->run({z_hat_.view()}, quality_, *kernels_, threads_);
    }
    step_ = std::make_unique<Execution>(nets_->steps[k - 1], height_, width_, whole);
    step_->run({prior_->output(), y_hat_.view()}, quality_, *kernels_, threads_);

    const int group_size = nets_->group_size();
    for_runs(k - 1, threads_for(segment_size(k)), [&](const Run& run, int y, std::vector<uint8_t>& found,
                                                      std::vector<int16_t>&) {
        for (int t = 0; t < run.n; ++t)
            kernels_->index_row(step_->output().at(y, 2 * t + run.first) + group_size, group_size,
                                &found[t * group_size]);
        transpose(found.data(), group_size, run.n, group_size, indexes + run.offset, int64_t{height_} * width_);
    });
}

// ------------------------------------------------------------------------------------------ segments and their symbols

Walk::Run Walk::run_of(int k, int y, int parity) const {
    const int steps = nets_->config.steps, phase = phase_of(y, parity, steps), group = k ^ phase;
    const int64_t offset =
        channel_start(steps, k, group, height_, width_) + rank_of(steps, phase, width_, y, parity);
    return {offset, group, parity, parity_count(width_, parity)};
}

// Copying symbols is so quick that a further thread is worth its start only for each 2^16 of them.
int Walk::threads_for(int64_t values) const {
    return static_cast<int>(std::clamp<int64_t>(values >> 16, 1, threads_));
}

// Calls body(run, y, indexes, symbols) for all runs of context step k, in several threads. indexes and symbols are
// scratch arrays of the thread, [positions of the run][group_size].
template <class Body>
void Walk::for_runs(int k, int threads, Body body) const {
    parallel(std::min(threads, height_), 1, [&](Team& team, int) {
        const size_t most = static_cast<size_t>(parity_count(width_, 0)) * nets_->group_size();
        std::vector<uint8_t> indexes(most);
        std::vector<int16_t> symbols(most);
        team.each(height_, [&](int64_t y) {
            for (int parity = 0; parity < std::min(2, width_); ++parity)
                body(run_of(k, static_cast<int>(y), parity), static_cast<int>(y), indexes, symbols);
        });
    });
}

// Gets the symbols of context step k, and stores the dequantised latents in y_hat_. row_symbols(run, y, step, indexes,
// symbols) must set symbols[t * group_size + i] to symbol i at the t-th position of the run; step: the step sizes of
// the run's channels.
template <class RowSymbols>
void Walk::fill_step(int k, RowSymbols row_symbols) {
    const int steps = nets_->config.steps, group_size = nets_->group_size();
    std::vector<int16_t> step_sizes[kMaxSteps];  // [group_size] for each group of channels
    const int16_t* step = nets_->step.data() + (quality_ - 1) * nets_->config.latents;
    for (int c = 0; c < nets_->config.latents; ++c) step_sizes[c % steps].push_back(step[c]);
    for_runs(k, threads_for(segment_size(k + 1)),
             [&](const Run& run, int y, std::vector<uint8_t>& indexes, std::vector<int16_t>& symbols) {
                 const int16_t* sizes = step_sizes[run.group].data();
                 row_symbols(run, y, sizes, indexes, symbols);
                 for (int t = 0; t < run.n; ++t) {
                     const int x = 2 * t + run.first;
                     kernels_->reconstruct_row(step_->output().at(y, x), &symbols[t * group_size], sizes, group_size,
                                               y_hat_.at(y, x) + k * group_size);
                 }
             });
}

void Walk::choose(int k, const int16_t* values, const int16_t* dead_zones, int16_t* symbols) {
    const Turn turn(*this, true, k);
    if (k == 0) {
        const int hyper = nets_->config.hyper;
        const int16_t* step = nets_->hyper_step.data() + (quality_ - 1) * hyper;
        const uint8_t* index = nets_->hyper_index.data() + (quality_ - 1) * hyper;
        for (int c = 0; c < hyper; ++c)
            for (int y = 0; y < coarse_height_; ++y)
                for (int x = 0; x < coarse_width_; ++x) {
                    const ptrdiff_t at = static_cast<ptrdiff_t>(y) * coarse_width_ + x;
                    *symbols = choose_symbol(values[at * hyper + c], 0, step[c], index[c], dead_zones[index[c]]);
                    z_hat_.at(y, x)[c] = reconstruct(0, *symbols++, step[c]);
                }
        return;
    }
    const int steps = nets_->config.steps, group_size = nets_->group_size();
    const ptrdiff_t channels = nets_->config.latents;
    fill_step(k - 1, [&](const Run& run, int y, const int16_t* step, std::vector<uint8_t>& indexes,
                         std::vector<int16_t>& chosen) {
        std::vector<int16_t> wanted(group_size), zones(group_size);
        for (int t = 0; t < run.n; ++t) {
            const int x = 2 * t + run.first;
            const int16_t* value = values + (static_cast<ptrdiff_t>(y) * width_ + x) * channels + run.group;
            for (int i = 0; i < group_size; ++i) wanted[i] = value[i * steps];
            const int16_t* said = step_->output().at(y, x);
            kernels_->index_row(said + group_size, group_size, indexes.data());
            for (int i = 0; i < group_size; ++i) zones[i] = dead_zones[indexes[i]];
            kernels_->choose_row(wanted.data(), said, step, indexes.data(), zones.data(), group_size,
                                 &chosen[t * group_size]);
        }
        transpose(chosen.data(), group_size, run.n, group_size, symbols + run.offset, int64_t{height_} * width_);
    });
}

void Walk::accept(int k, const int16_t* symbols) {
    const Turn turn(*this, true, k);
    if (k == 0) {
        const int16_t* step = nets_->hyper_step.data() + (quality_ - 1) * nets_->config.hyper;
        for (int c = 0; c < nets_->config.hyper; ++c)
            for (int y = 0; y < coarse_height_; ++y)
                for (int x = 0; x < coarse_width_; ++x) z_hat_.at(y, x)[c] = reconstruct(0, *symbols++, step[c]);
        return;
    }
    const int group_size = nets_->group_size();
    fill_step(k - 1, [&](const Run& run, int, const int16_t*, std::vector<uint8_t>&, std::vector<int16_t>& read) {
        transpose(symbols + run.offset, int64_t{height_} * width_, group_size, run.n, read.data(), group_size);
    });
}

void Walk::latents(int16_t* out) const {
    if (next_ != segments()) throw std::invalid_argument("segment " + std::to_string(next_) + " is not there yet");
    const NetsConfig& config = nets_->config;
    parallel_for(threads_for(int64_t{config.latents} * height_ * width_), height_, [&](int64_t row) {
        const int y = static_cast<int>(row);
        for (int x = 0; x < width_; ++x)
            kernels_->order_row(y_hat_.at(y, x), nets_->group_size(), config.steps, phase_of(y, x, config.steps),
                                out + (static_cast<ptrdiff_t>(y) * width_ + x) * config.latents);
    });
}

}  // namespace aec
