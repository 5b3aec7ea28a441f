#include "engine/synthesis.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <stdexcept>

namespace aec {
namespace {

constexpr int kChannels = 3, kEighth = kLatentStride / 2;        // the branch's output has 8x8 pixels at each position
constexpr int kBranch = kEighth * kEighth * kChannels;           // numbers in a position of the branch's output
constexpr int kAll = kLatentStride * kLatentStride * kChannels;  // numbers in the 16x16 pixels of a latent

// Reads the shortcut. Its check for overflow differs from read_conv's, because its products are with the high bytes of
// latents (magnitude up to 128) and with their low bytes (up to 255) in two sums (shortcut_of), and because all outputs
// must have the same shift. Its weights are also replaced by means over squares of pixels. Rounding makes the magnitude
// of a mean at most 1/2 larger than the mean magnitude, so latents / 2 is added to the sum of magnitudes.
FileConv read_shortcut(const Reader& reader, int latents) {
    const std::string name = "shortcut";
    const FileConv conv = {kAll, latents, reader.at<int16_t>(name + ".weight", {kAll, latents, 1, 1}),
                           reader.at<int32_t>(name + ".bias", {kAll}), reader.at<uint8_t>(name + ".shift", {kAll})};
    for (int o = 0; o < kAll; ++o) {
        if (conv.shift[o] != conv.shift[0] || conv.shift[o] < 2 || conv.shift[o] > kMaxShift)
            fail(name, "has shifts that are not one from 2 to " + std::to_string(kMaxShift));
        int64_t sum = latents / 2;
        for (int t = 0; t < latents; ++t) sum += std::abs(int{conv.weight[static_cast<int64_t>(o) * latents + t]});
        const int64_t bias = std::abs(static_cast<int64_t>(conv.bias[o])) + half_of(conv.shift[o]);
        if (255 * sum >= kAccumulatorLimit || 129 * sum + bias >= kAccumulatorLimit) fail(name, "could overflow its accumulator");
    }
    return conv;
}

}  // namespace

struct Synthesis::Scratch {
    explicit Scratch(int latents)
        : channels(round_up(latents, kBlock)), high(static_cast<size_t>(kLatents) * channels),
          low(static_cast<size_t>(kLatents) * channels), high_sums(kLatents * size_t{kAll}),
          low_sums(kLatents * size_t{kAll}), branch(kAll), corner(kBranch), pixels(kAll) {}

    int channels;
    Buffer<int16_t> high, low;
    Buffer<int32_t> high_sums, low_sums, branch, corner, pixels;
};

Synthesis::Synthesis(const TransformConfig& config, const Tensors& tensors)
    : config_(checked(config)), program_(synthesis_program(config), Reader(tensors)) {
    const Reader reader(tensors);
    const FileConv whole = read_shortcut(reader, config_.latents);
    shortcut_shift_ = whole.shift[0];
    for (int log2 = 0; log2 <= kMaxShrinkLog2; ++log2) {
        const int side = kLatentStride >> log2, shrink = 1 << log2, outputs = side * side * kChannels;
        Vector<int16_t> weight(static_cast<size_t>(outputs) * config_.latents);
        Vector<int32_t> bias(outputs), sums(config_.latents);
        for (int o = 0; o < outputs; ++o) {
            const int y = o / kChannels / side, x = o / kChannels % side, channel = o % kChannels;
            int64_t bias_sum = 0;
            std::fill(sums.begin(), sums.end(), 0);
            for (int i = 0; i < shrink * shrink; ++i) {
                const int from_y = y * shrink + i / shrink, from_x = x * shrink + i % shrink;
                const int from = (channel * kLatentStride + from_y) * kLatentStride + from_x;
                bias_sum += whole.bias[from];
                for (int t = 0; t < config_.latents; ++t)
                    sums[t] += whole.weight[static_cast<int64_t>(from) * config_.latents + t];
            }
            for (int t = 0; t < config_.latents; ++t)
                weight[static_cast<size_t>(o) * config_.latents + t] = static_cast<int16_t>(mean_of(sums[t], log2));
            bias[o] = static_cast<int32_t>((bias_sum + (shrink * shrink >> 1)) >> (2 * log2));
        }
        const Vector<uint8_t> shift(outputs, 0);
        const FileConv mean = {outputs, config_.latents, weight.data(), bias.data(), shift.data()};
        shortcuts_[log2].conv = pack(mean);
        shortcuts_[log2].bias.assign(shortcuts_[log2].conv.start.size(), 0);
        for (int o = 0; o < outputs; ++o) shortcuts_[log2].bias[o] = bias[o] + half_of(shortcut_shift_);
    }

    gain_shift_ = *reader.at<uint8_t>("gain.shift", {1});
    if (gain_shift_ < 1 || gain_shift_ > kMaxGainShift)
        fail("gain.shift",
             "is " + std::to_string(gain_shift_) + ": 1 to " + std::to_string(kMaxGainShift) + " are allowed");
    const int16_t* gain = reader.at<int16_t>("gain.table", {kQualities, kBranch});
    for (int q = 0; q < kQualities; ++q)
        for (int at = 0; at < kEighth * kEighth; ++at)
            for (int channel = 0; channel < kChannels; ++channel)
                gain_.push_back(gain[q * kBranch + channel * kEighth * kEighth + at]);
}

Rect Synthesis::checked_latents(const Picture& picture, const Rect& given, const Rect& area) const {
    const int side = kLatentStride >> picture.shrink_log2;
    const Rect whole = {0, picture.rows * side, 0, picture.columns * side};
    if (!whole.holds(area)) throw std::invalid_argument("the area is not within the picture");
    const Rect own = {area.y0 / side, (area.y1 + side - 1) / side, area.x0 / side, (area.x1 + side - 1) / side};
    if (!area.empty() && !given.holds(own))
        throw std::invalid_argument("the latents do not cover the area that is wanted");
    return own;
}

template <class Sample>
void Synthesis::run(const Picture& picture, const Latents& latents, const Rect& area, Sample* out,
                    ptrdiff_t row_stride, int threads) const {
    const Rect own = checked_latents(picture, latents.rect, area);
    if (area.empty()) return;
    const Kernels& kernels = kernels_of(current_isa());
    std::unique_ptr<Execution> execution;
    if (picture.branch) {
        execution = std::make_unique<Execution>(program_, picture.rows, picture.columns, doubled(own));
        check_halo(latents.rect, execution->reads());
        // The cast is safe: a program never writes to its inputs, but View is used for outputs too.
        const View input = {latents.rect, const_cast<int16_t*>(latents.data), latents.row_stride, config_.latents};
        execution->run({input}, picture.qualities, kBlockLatentsLog2, kernels, threads);
    }
    const View* branch = execution ? &execution->output() : nullptr;
    const int n = (own.columns() + kLatents - 1) / kLatents;
    const int64_t parts = int64_t{n} * own.rows();
    parallel(static_cast<int>(std::min<int64_t>(threads, parts)), 1, [&](Team& team, int) {
        Scratch scratch(config_.latents);
        team.each(parts, [&](int64_t i) {
            const int y = own.y0 + static_cast<int>(i / n), x0 = own.x0 + static_cast<int>(i % n) * kLatents;
            run_latents(picture, latents, branch, area, y, x0, std::min(x0 + kLatents, own.x1), kernels, scratch, out,
                        row_stride);
        });
    });
}

template void Synthesis::run(const Picture&, const Latents&, const Rect&, uint8_t*, ptrdiff_t, int) const;
template void Synthesis::run(const Picture&, const Latents&, const Rect&, uint16_t*, ptrdiff_t, int) const;

// Sets scratch.branch to the branch's part of the samples of the latent at (y, x): [rows][columns][3]. branch: the
// output of the branch's program.
void Synthesis::branch_of_latent(const Picture& picture, const View& branch, int y, int x, const Kernels& kernels,
                                 Scratch& scratch) const {
    const int log2 = picture.shrink_log2, shrink = 1 << log2, part = kEighth >> log2, side = 2 * part;
    const int quality = picture.qualities.at(y, x, kBlockLatentsLog2);
    const int16_t* gain = gain_.data() + static_cast<ptrdiff_t>(quality - 1) * kBranch;
    int32_t* corner = scratch.corner.get();
    for (int i = 0; i < 4; ++i) {
        kernels.branch_row(branch.at(2 * y + i / 2, 2 * x + i % 2), gain, gain_shift_, kBranch, corner);
        int32_t* to = scratch.branch.get() + (i / 2 * part * side + i % 2 * part) * kChannels;
        for (int row = 0; row < part; ++row)
            for (int k = 0; k < part * kChannels; ++k) {
                const int32_t* from = corner + (row * kEighth + k / kChannels) * shrink * kChannels + k % kChannels;
                int32_t sum = 0;
                for (int square = 0; square < shrink * shrink; ++square)
                    sum += from[(square / shrink * kEighth + square % shrink) * kChannels];
                to[row * side * kChannels + k] = mean_of(sum, log2);
            }
    }
}

template <class Sample>
void Synthesis::run_latents(const Picture& picture, const Latents& latents, const View* branch, const Rect& area, int y,
                            int x0, int x1, const Kernels& kernels, Scratch& scratch, Sample* out,
                            ptrdiff_t row_stride) const {
    constexpr int kScale = std::numeric_limits<Sample>::max() / 255;
    const int n = x1 - x0, side = kLatentStride >> picture.shrink_log2, outputs = side * side * kChannels;
    const Shortcut& shortcut = shortcuts_[picture.shrink_log2];
    const int16_t* in = latents.data + (y - latents.rect.y0) * latents.row_stride +
                        static_cast<ptrdiff_t>(x0 - latents.rect.x0) * config_.latents;
    for (int i = 0; i < n; ++i)
        for (int c = 0; c < scratch.channels; ++c) {
            const int16_t latent = c < config_.latents ? in[static_cast<ptrdiff_t>(i) * config_.latents + c] : 0;
            scratch.high.get()[i * scratch.channels + c] = static_cast<int16_t>(latent >> 8);
            scratch.low.get()[i * scratch.channels + c] = static_cast<int16_t>(latent & 255);
        }
    const ptrdiff_t padded = shortcut.conv.view().outputs;
    SumsCall call = {scratch.high.get(), scratch.channels, n, scratch.high_sums.get(), padded};
    kernels.sums(shortcut.conv.view(), call);
    call.in = scratch.low.get();
    call.out = scratch.low_sums.get();
    kernels.sums(shortcut.conv.view(), call);

    int32_t* const pixels = scratch.pixels.get();
    const int top = std::max(area.y0, y * side), bottom = std::min(area.y1, (y + 1) * side);
    for (int i = 0; i < n; ++i) {
        kernels.shortcut_row(scratch.high_sums.get() + i * padded, scratch.low_sums.get() + i * padded,
                             shortcut.bias.data(), shortcut_shift_, outputs, pixels);
        const int x = x0 + i, left = std::max(area.x0, x * side), right = std::min(area.x1, (x + 1) * side);
        if (branch) {
            branch_of_latent(picture, *branch, y, x, kernels, scratch);
            for (int o = 0; o < outputs; ++o) pixels[o] += scratch.branch.get()[o];
        }
        for (int row = top; row < bottom; ++row) {
            const int32_t* from = pixels + ((row - y * side) * side + left - x * side) * kChannels;
            const int channels = picture.gray ? 1 : kChannels;
            Sample* to = out + (row - area.y0) * row_stride + static_cast<ptrdiff_t>(left - area.x0) * channels;
            if (picture.gray)
                for (int k = 0; k < right - left; ++k, from += kChannels)
                    to[k] = static_cast<Sample>(gray_sample_of(from[0] + from[1] + from[2], kScale));
            else
                for (int k = 0; k < (right - left) * kChannels; ++k)
                    to[k] = static_cast<Sample>(sample_of(from[k], kScale));
        }
    }
}

}  // namespace aec
