#include "engine/executor.h"

#include <algorithm>
#include <stdexcept>

namespace aec {
namespace {

// Copies the input of a kUnshuffle2 stage: for the positions x0 <= x < x1 of row y, the four positions (2y + i, 2x + j)
// of the plane `fine`. to: [x1 - x0][4 corners][channels].
void gather(const View& fine, int y, int x0, int x1, int channels, int16_t* to) {
    for (int x = x0; x < x1; ++x)
        for (int corner = 0; corner < 4; ++corner, to += channels)
            std::copy_n(fine.at(2 * y + corner / 2, 2 * x + corner % 2), channels, to);
}

int log2_of(int resolution) { return resolution == 4 ? 2 : resolution - 1; }  // of 1, 2 or 4

int padded(const Plane& plane) { return round_up(plane.channels, kBlock); }

}  // namespace

Execution::Execution(const PackedProgram& packed, int rows, int columns, Rect area)
    : program_(packed.program), packed_(packed.stages), plan_(program_, rows, columns, area),
      views_(program_.planes.size()) {
    int most = 0;
    for (size_t i = 0; i < program_.planes.size(); ++i) {
        const int channels = padded(program_.planes[i]);
        most = std::max(most, channels);
        if (plan_.is_local[i] || program_.is_input(static_cast<int>(i))) continue;
        const Rect& rect = plan_.needed[i];
        buffers_.emplace_back(static_cast<size_t>(rect.rows()) * rect.columns() * channels);
        views_[i] = {rect, buffers_.back().get(), static_cast<ptrdiff_t>(rect.columns()) * channels, channels};
    }
    zeros_.assign(most, 0);
    for (const Stage& stage : program_.stages)
        if (stage.map == Map::kUnshuffle2)
            most_gathered_ = std::max(most_gathered_, 4 * program_.planes[stage.in].channels);
}

void Execution::run(const std::vector<View>& inputs, const Qualities& qualities, int block_log2,
                    const Kernels& kernels, int threads) {
    for (size_t i = 0; i < program_.inputs.size(); ++i) {
        if (!inputs[i].rect.holds(reads(static_cast<int>(i))))
            throw std::invalid_argument("an input does not cover the rectangle that the program reads: see Execution::reads");
        views_[program_.inputs[i]] = inputs[i];
    }
    int64_t most = 1;  // segments of the largest round: more threads would have no work
    for (const Round& round : plan_.rounds) most = std::max(most, segments(round));
    threads = static_cast<int>(std::min<int64_t>(threads, most));
    parallel(threads, static_cast<int>(plan_.rounds.size()), [&](Team& team, int) {
        std::vector<View> views = views_;
        Vector<Buffer<int16_t>> local;
        Buffer<int16_t> gathered(static_cast<size_t>(kSegment) * most_gathered_);
        for (size_t i = 0; i < views.size(); ++i)
            if (plan_.is_local[i]) {
                const int channels = padded(program_.planes[i]);
                local.emplace_back(static_cast<size_t>(kSegment) * channels);
                views[i] = {{}, local.back().get(), 0, channels};
            }
        for (const Round& round : plan_.rounds) {
            const int columns = round.rect.columns(), n = row_segments(round);
            team.each(segments(round), [&](int64_t i) {
                const int y = round.rect.y0 + static_cast<int>(i / n), part = static_cast<int>(i % n);
                const int x0 = round.rect.x0 + columns * part / n, x1 = round.rect.x0 + columns * (part + 1) / n;
                for (size_t p = 0; p < views.size(); ++p)
                    if (plan_.is_local[p]) views[p].rect = {y, y + 1, x0, x1};
                run_segment(round, y, x0, x1, views.data(), gathered.get(), qualities, block_log2, kernels);
            });
        }
    });
}

void Execution::run_segment(const Round& round, int y, int x0, int x1, const View* views, int16_t* gathered,
                            const Qualities& qualities, int block_log2, const Kernels& kernels) const {
    block_log2 += log2_of(round.resolution);
    for (size_t i = round.first; i < round.last; ++i) {
        const Stage& stage = program_.stages[i];
        const View &in = views[stage.in], &out = views[stage.out];
        if (stage.op == Op::kDepthwise) {
            run_depthwise(packed_[i].depthwise, in, out, round.resolution, y, x0, x1, kernels);
            continue;
        }
        // A kernel adds one vector to all its positions, so with a map it runs on each block's positions by themselves.
        const bool whole = qualities.is_one() || packed_[i].vectors.empty();
        for (int from = x0, to; from < x1; from = to) {
            to = whole ? x1 : std::min(x1, ((from >> block_log2) + 1) << block_log2);
            run_pointwise(stage, packed_[i], in, out, y, from, to, gathered, qualities.at(y, from, block_log2), kernels);
        }
    }
}

void Execution::run_pointwise(const Stage& stage, const PackedStage& packed, const View& in, const View& out, int y,
                              int x0, int x1, int16_t* gathered, int quality, const Kernels& kernels) const {
    const auto call_of = [&](size_t variant, int n) {
        PointwiseCall call = {nullptr, in.stride, n, nullptr, out.stride};
        call.vector = packed.vectors.empty() ? nullptr : packed.vectors[variant].row(quality);
        call.adds_to_out = stage.adds;
        call.is_leaky = stage.leaky;
        return call;
    };
    switch (stage.map) {
        case Map::kSame: {
            PointwiseCall call = call_of(0, x1 - x0);
            call.in = in.at(y, x0);
            call.out = out.at(y, x0);
            kernels.pointwise(packed.pointwise[0].view(), call);
            return;
        }
        case Map::kUnshuffle2: {
            PointwiseCall call = call_of(0, x1 - x0);
            const int channels = program_.planes[stage.in].channels;
            gather(in, y, x0, x1, channels, gathered);
            call.in = gathered;
            call.in_stride = 4 * channels;
            call.out = out.at(y, x0);
            kernels.pointwise(packed.pointwise[0].view(), call);
            return;
        }
        case Map::kShuffle2:
            for (int corner = 0; corner < 4; ++corner) {
                PointwiseCall call = call_of(corner, x1 - x0);
                call.in = in.at(y, x0);
                call.out = out.at(2 * y + corner / 2, 2 * x0 + corner % 2);
                call.out_stride = 2 * out.stride;
                kernels.pointwise(packed.pointwise[corner].view(), call);
            }
            return;
        case Map::kPhases:  // within a row the even columns have one phase and the odd ones have another
            for (int first = x0; first < std::min(x0 + 2, x1); ++first) {
                const int phase = phase_of(y, first, static_cast<int>(packed.pointwise.size()));
                PointwiseCall call = call_of(phase, (x1 - first + 1) / 2);
                call.in = in.at(y, first);
                call.in_stride *= 2;
                call.out = out.at(y, first);
                call.out_stride *= 2;
                kernels.pointwise(packed.pointwise[phase].view(), call);
            }
            return;
    }
}

void Execution::run_depthwise(const PackedDepthwise& conv, const View& in, const View& out, int resolution, int y,
                              int x0, int x1, const Kernels& kernels) const {
    const int height = plan_.rows * resolution, width = plan_.columns * resolution;
    const auto part = [&](int from, int to) {
        if (from >= to) return;
        DepthwiseCall call = {};
        for (int tap = 0; tap < kTaps; ++tap) {
            const int from_y = y + tap / 3 - 1, from_x = from + tap % 3 - 1;
            const bool inside = from_y >= 0 && from_y < height && from_x >= 0 && to - 1 + tap % 3 - 1 < width;
            call.taps[tap] = inside ? in.at(from_y, from_x) : zeros_.data();
            call.strides[tap] = inside ? in.stride : 0;
        }
        call.n = to - from;
        call.out = out.at(y, from);
        call.out_stride = out.stride;
        kernels.depthwise(conv.view(), call);
    };
    // Only the first and the last position of a row have neighbours beyond the left and right edges, so these run
    // apart.
    const int left = x0 == 0 ? 1 : x0, right = std::max(left, x1 == width ? x1 - 1 : x1);
    part(x0, left);
    part(left, right);
    part(right, x1);
}

}  // namespace aec
