#include "engine/analysis.h"

#include <algorithm>
#include <stdexcept>

namespace aec {
namespace {

constexpr int kChannels = 3, kEighth = 8;                         // the branch's input has 8x8 pixels at each position
constexpr int kBlockOfPixels = kEighth * kEighth * kChannels;     // numbers in a position of the branch's input
constexpr int kAll = kLatentStride * kLatentStride * kChannels;   // numbers in the 16x16 pixels of a latent

// The shortcut reads the four positions of the branch's input that make up a latent's 16x16 pixels, as
// [2][2][8 rows][8 columns][3]. For each of these numbers: its channel in the file, which has the order of torch's
// PixelUnshuffle(16), [3][16 rows][16 columns].
std::vector<int> channels_of_latent() {
    std::vector<int> channels;
    for (int position = 0; position < 4; ++position)
        for (int at = 0; at < kEighth * kEighth; ++at)
            for (int channel = 0; channel < kChannels; ++channel) {
                const int y = position / 2 * kEighth + at / kEighth, x = position % 2 * kEighth + at % kEighth;
                channels.push_back((channel * kLatentStride + y) * kLatentStride + x);
            }
    return channels;
}

}  // namespace

Analysis::Analysis(const TransformConfig& config, const Tensors& tensors)
    : config_(checked(config)), program_(analysis_program(config), Reader(tensors)) {
    const Reader reader(tensors);
    const FileConv shortcut = read_conv(reader, "shortcut", config_.latents, kAll, 1, kLargestPixel);
    shortcut_ = pack(outputs_of(shortcut, numbers(config_.latents)), channels_of_latent());
    const int16_t* gain = reader.at<int16_t>("gain.table", {kQualities, config_.latents});
    gain_.assign(gain, gain + static_cast<ptrdiff_t>(kQualities) * config_.latents);
    const uint8_t* shift = reader.at<uint8_t>("gain.shift", {config_.latents});
    gain_shift_.assign(shift, shift + config_.latents);
    for (const int32_t s : gain_shift_)
        if (s < 1 || s > kMaxGainShift)
            fail("gain.shift", "has " + std::to_string(s) + ": 1 to " + std::to_string(kMaxGainShift) + " are allowed");
}

void Analysis::check_area(const Picture& picture, const Rect& area) {
    const Rect whole = {0, picture.rows, 0, picture.columns};
    if (!whole.holds(area)) throw std::invalid_argument("the area is not within the picture");
}

void Analysis::check_pixels(const Rect& given, const Rect& area, const Rect& reads) {
    if (!doubled(given).holds(reads) || !doubled(given).holds(doubled(area)))
        throw std::invalid_argument("the pixels do not cover the area and the halo that the network reads around it");
}

void Analysis::run(const Picture& picture, const Pixels& pixels, const Rect& area, int16_t* out, int threads) const {
    check_area(picture, area);
    if (area.empty()) return;
    Execution execution(program_, picture.rows, picture.columns, area);
    // From here on, rectangles are in positions of the branch's input, of which a latent has 2x2.
    const Rect& reads = execution.reads();
    check_pixels(pixels.rect, area, reads);
    const Rect given = doubled(pixels.rect), own = doubled(area);
    const Rect rect = {std::min(reads.y0, own.y0), std::max(reads.y1, own.y1), std::min(reads.x0, own.x0),
                       std::max(reads.x1, own.x1)};
    Buffer<int16_t> blocks(static_cast<size_t>(rect.rows()) * rect.columns() * kBlockOfPixels);
    const View input = {rect, blocks.get(), static_cast<ptrdiff_t>(rect.columns()) * kBlockOfPixels, kBlockOfPixels};
    parallel_for(threads, rect.rows(), [&](int64_t i) {
        const int y = rect.y0 + static_cast<int>(i);
        for (int row = 0; row < kEighth; ++row) {
            const int16_t* from = pixels.data + ((y - given.y0) * kEighth + row) * pixels.row_stride +
                                  static_cast<ptrdiff_t>(rect.x0 - given.x0) * kEighth * kChannels;
            for (int x = rect.x0; x < rect.x1; ++x, from += kEighth * kChannels)
                std::copy_n(from, kEighth * kChannels, input.at(y, x) + row * kEighth * kChannels);
        }
    });

    const Kernels& kernels = kernels_of(current_isa());
    execution.run({input}, picture.qualities, kBlockLatentsLog2, kernels, threads);
    const int n = (area.columns() + kLatents - 1) / kLatents;
    const int64_t parts = int64_t{n} * area.rows();
    parallel(static_cast<int>(std::min<int64_t>(threads, parts)), 1, [&](Team& team, int) {
        Buffer<int16_t> gathered(kLatents * size_t{kAll});
        Buffer<int32_t> sums(kLatents * shortcut_.start.size());
        team.each(parts, [&](int64_t i) {
            const int y = area.y0 + static_cast<int>(i / n), x0 = area.x0 + static_cast<int>(i % n) * kLatents;
            run_latents(picture, input, execution.output(), y, x0, std::min(x0 + kLatents, area.x1), kernels,
                        gathered.get(), sums.get(),
                        out + (static_cast<ptrdiff_t>(y - area.y0) * area.columns() + x0 - area.x0) * config_.latents);
        });
    });
}

void Analysis::run_latents(const Picture& picture, const View& pixels, const View& tail, int y, int x0, int x1,
                           const Kernels& kernels, int16_t* gathered, int32_t* sums, int16_t* out) const {
    const int n = x1 - x0;
    const ptrdiff_t outputs = static_cast<ptrdiff_t>(shortcut_.start.size());
    for (int i = 0; i < n; ++i)
        for (int half = 0; half < 2; ++half)
            std::copy_n(pixels.at(2 * y + half, 2 * (x0 + i)), kAll / 2, gathered + i * kAll + half * (kAll / 2));
    kernels.sums(shortcut_.view(), {gathered, kAll, n, sums, outputs});
    for (int i = 0; i < n; ++i)
        kernels.latent_row(sums + i * outputs, shortcut_.start.data(), shortcut_.shift.data(), tail.at(y, x0 + i),
                           gain_of(picture.qualities.at(y, x0 + i, kBlockLatentsLog2)), gain_shift_.data(), config_.latents,
                           out + static_cast<ptrdiff_t>(i) * config_.latents);
}

HyperAnalysis::HyperAnalysis(int latents, int context, int hyper, const Tensors& tensors) {
    for (const int channels : {latents, context, hyper})
        if (channels < 1 || channels > kMaxChannels) throw std::invalid_argument("channels must be 1 to 16384");
    if (latents % 2 != 0) throw std::invalid_argument("latents must be even");
    program_ = PackedProgram(hyper_analysis_program(latents, context, hyper), Reader(tensors));
}

void HyperAnalysis::run(int rows, int columns, const Qualities& qualities, const int16_t* latents, int16_t* out, int threads) const {
    Execution execution(program_, rows, columns, {0, rows, 0, columns});
    const int channels = this->latents(), n = hyper();
    // The cast is safe: a program never writes to its inputs, but View is used for outputs too.
    const View input = {{0, kHyperStride * rows, 0, kHyperStride * columns}, const_cast<int16_t*>(latents),
                        static_cast<ptrdiff_t>(kHyperStride) * columns * channels, channels};
    execution.run({input}, qualities, 0, kernels_of(current_isa()), threads);
    for (int y = 0; y < rows; ++y)
        for (int x = 0; x < columns; ++x, out += n) std::copy_n(execution.output().at(y, x), n, out);
}

}  // namespace aec
