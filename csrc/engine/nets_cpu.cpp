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
#if defined(__wasm_simd128__)
    static_cast<void>(isa);
    return kSimd128Kernels;
#else
    switch (isa) {
#if defined(__SSE2__)
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
#endif
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

Walk::Walk(std::shared_ptr<const Nets> nets, Qualities qualities, int height, int width, int threads,
           const std::vector<bool>& first)
    : nets_(std::move(nets)), qualities_(std::move(qualities)), height_(height), width_(width),
      coarse_height_(coarse(height)), coarse_width_(coarse(width)),
      threads_(std::clamp(height * width / kPositionsPerThread, 1, in_range(threads, 1, 1 << 16, "threads"))),
      kernels_(&kernels_of(current_isa())), z_hat_(coarse_height_, coarse_width_, nets_->config.hyper),
      y_hat_(height, width, nets_->config.latents) {
    const auto& config = nets_->config;
    if (first.empty()) return;
    if (first.size() != static_cast<size_t>(config.latents))
        throw std::invalid_argument("the first pass must be given for each channel of the latents");
    for (const bool is_coded : {true, false})
        for (int group = 0; group < config.steps; ++group)
            for (int c = group; c < config.latents; c += config.steps) first_.push_back(first[c] == is_coded);
}

// For each channel of the group, whether segment k > 0 codes it: [group_size]. Null: it codes all.
const uint8_t* Walk::coded(int k, int group) const {
    if (first_.empty()) return nullptr;
    const int pass = (k - 1) / nets_->config.steps;
    return first_.data() + static_cast<ptrdiff_t>(pass * nets_->config.steps + group) * nets_->group_size();
}

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
        for_hyperlatents([&](int, int, int, int16_t, uint8_t index) { *indexes++ = index; });
        return;
    }
    const Rect whole = {0, height_, 0, width_};
    if (k == 1) {
        prior_ = std::make_unique<Execution>(nets_->prior, coarse_height_, coarse_width_, whole);
        prior_->run({z_hat_.view()}, qualities_, 0, *kernels_, threads_);
    }
    step_ = std::make_unique<Execution>(nets_->steps[step_of(k)], height_, width_, whole);
    step_->run({prior_->output(), y_hat_.view()}, qualities_, kBlockLatentsLog2, *kernels_, threads_);

    const int group_size = nets_->group_size();
    for_runs(step_of(k), threads_for(segment_size(k)), [&](const Run& run, int y, Vector<uint8_t>& found,
                                                           Vector<int16_t>&) {
        for (int t = 0; t < run.n; ++t) index_row(k, run, y, 2 * t + run.first, &found[t * group_size]);
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
        Vector<uint8_t> indexes(most);
        Vector<int16_t> symbols(most);
        team.each(height_, [&](int64_t y) {
            for (int parity = 0; parity < std::min(2, width_); ++parity)
                body(run_of(k, static_cast<int>(y), parity), static_cast<int>(y), indexes, symbols);
        });
    });
}

// Calls body(c, y, x, step, index) for all hyperlatents, in the order of their symbols. step, index: the step size and
// the index of the hyperlatent's channel at the quality of its block.
template <class Body>
void Walk::for_hyperlatents(Body body) const {
    const int hyper = nets_->config.hyper;
    for (int c = 0; c < hyper; ++c)
        for (int y = 0; y < coarse_height_; ++y)
            for (int x = 0; x < coarse_width_; ++x) {
                const int at = (qualities_.at(y, x, 0) - 1) * hyper + c;
                body(c, y, x, nets_->hyper_step[at], nets_->hyper_index[at]);
            }
}

// The step sizes of the channels that are coded at column x of row y as part of the run: [group_size].
const int16_t* Walk::step_sizes(const Run& run, int y, int x) const {
    const ptrdiff_t row = (qualities_.at(y, x, kBlockLatentsLog2) - 1) * nets_->config.steps + run.group;
    return nets_->group_step.data() + row * nets_->group_size();
}

// The indexes of the symbols that segment k > 0 codes at column x of row y: [group_size]. Channels of the other pass
// have index 0, so that they take no bits.
void Walk::index_row(int k, const Run& run, int y, int x, uint8_t* indexes) const {
    const int group_size = nets_->group_size();
    kernels_->index_row(step_->output().at(y, x) + group_size, group_size, indexes);
    if (const uint8_t* coded = this->coded(k, run.group))
        for (int i = 0; i < group_size; ++i) indexes[i] = coded[i] ? indexes[i] : uint8_t{0};
}

// Gets the symbols of segment k > 0, and stores the dequantised latents in y_hat_. row_symbols(run, y, indexes,
// symbols) must set symbols[t * group_size + i] to symbol i at the t-th position of the run.
template <class RowSymbols>
void Walk::fill_step(int k, RowSymbols row_symbols) {
    const int group_size = nets_->group_size(), step = step_of(k);
    for_runs(step, threads_for(segment_size(k)),
             [&](const Run& run, int y, Vector<uint8_t>& indexes, Vector<int16_t>& symbols) {
                 row_symbols(run, y, indexes, symbols);
                 const uint8_t* coded = this->coded(k, run.group);
                 Vector<int16_t> made(group_size);
                 for (int t = 0; t < run.n; ++t) {
                     const int x = 2 * t + run.first;
                     int16_t* const out = y_hat_.at(y, x) + step * group_size;
                     kernels_->reconstruct_row(step_->output().at(y, x), &symbols[t * group_size], step_sizes(run, y, x),
                                               group_size, coded ? made.data() : out);
                     for (int i = 0; coded && i < group_size; ++i) out[i] = coded[i] ? made[i] : out[i];
                 }
             });
}

void Walk::choose(int k, const int16_t* values, const int16_t* dead_zones, int16_t* symbols) {
    const Turn turn(*this, true, k);
    if (k == 0) {
        for_hyperlatents([&](int c, int y, int x, int16_t step, uint8_t index) {
            const ptrdiff_t at = static_cast<ptrdiff_t>(y) * coarse_width_ + x;
            *symbols = choose_symbol(values[at * nets_->config.hyper + c], 0, step, index, dead_zones[index]);
            z_hat_.at(y, x)[c] = reconstruct(0, *symbols++, step);
        });
        return;
    }
    const int steps = nets_->config.steps, group_size = nets_->group_size();
    const ptrdiff_t channels = nets_->config.latents;
    fill_step(k, [&](const Run& run, int y, Vector<uint8_t>& indexes, Vector<int16_t>& chosen) {
        Vector<int16_t> wanted(group_size), zones(group_size);
        for (int t = 0; t < run.n; ++t) {
            const int x = 2 * t + run.first;
            const int16_t* value = values + (static_cast<ptrdiff_t>(y) * width_ + x) * channels + run.group;
            for (int i = 0; i < group_size; ++i) wanted[i] = value[i * steps];
            const int16_t* said = step_->output().at(y, x);
            index_row(k, run, y, x, indexes.data());
            for (int i = 0; i < group_size; ++i) zones[i] = dead_zones[indexes[i]];
            kernels_->choose_row(wanted.data(), said, step_sizes(run, y, x), indexes.data(), zones.data(), group_size,
                                 &chosen[t * group_size]);
        }
        transpose(chosen.data(), group_size, run.n, group_size, symbols + run.offset, int64_t{height_} * width_);
    });
}

void Walk::accept(int k, const int16_t* symbols) {
    const Turn turn(*this, true, k);
    if (k == 0) {
        for_hyperlatents([&](int c, int y, int x, int16_t step, uint8_t) {
            z_hat_.at(y, x)[c] = reconstruct(0, *symbols++, step);
        });
        return;
    }
    const int group_size = nets_->group_size();
    fill_step(k, [&](const Run& run, int, Vector<uint8_t>&, Vector<int16_t>& read) {
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
