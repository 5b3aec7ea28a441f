#include "tile/tile_input.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "engine/program.h"

namespace aec {
namespace {

constexpr int kChannels = 3, kRangeOfPixels = 255 * kPixelUnit;  // from black to white

template <class Sample>
Sample load(const uint8_t* from) {
    Sample value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

// A sample in units of 1/kPixelUnit of a level of 8 bits, from black.
int16_t scaled(uint8_t sample) { return static_cast<int16_t>(sample * kPixelUnit); }
int16_t scaled(uint16_t sample) { return static_cast<int16_t>((sample * uint32_t{kPixelUnit} + 128) / 257); }

// A small picture of floats, [rows][columns][channels].
struct Image {
    Image(int rows, int columns, int channels)
        : rows(rows), columns(columns), channels(channels), data(size_t(rows) * columns * channels) {}
    float* at(int y, int x) { return data.data() + (static_cast<ptrdiff_t>(y) * columns + x) * channels; }
    const float* at(int y, int x) const { return const_cast<Image*>(this)->at(y, x); }
    int rows, columns, channels;
    Vector<float> data;
};
using Mask = Vector<char>;  // [rows][columns]: whether the colours of a pixel count

// Averages the known pixels of each square of 2x2. A mean of which there is no pixel is unknown.
Image halved(const Image& image, const Mask& known, Mask& known_means) {
    Image half((image.rows + 1) / 2, (image.columns + 1) / 2, image.channels);
    known_means.assign(size_t(half.rows) * half.columns, 0);
    for (int y = 0; y < half.rows; ++y)
        for (int x = 0; x < half.columns; ++x) {
            int n = 0;
            float* const mean = half.at(y, x);
            for (int i = 0; i < 4; ++i) {
                const int from_y = 2 * y + i / 2, from_x = 2 * x + i % 2;
                if (from_y >= image.rows || from_x >= image.columns) continue;
                if (!known[size_t(from_y) * image.columns + from_x]) continue;
                ++n;
                for (int c = 0; c < image.channels; ++c) mean[c] += image.at(from_y, from_x)[c];
            }
            if (n == 0) continue;
            known_means[size_t(y) * half.columns + x] = 1;
            for (int c = 0; c < image.channels; ++c) mean[c] /= static_cast<float>(n);
        }
    return half;
}

// Doubles one side of an image by linear interpolation, and cuts it to n.
Image doubled(const Image& image, bool is_rows, int n) {
    Image wide(is_rows ? n : image.rows, is_rows ? image.columns : n, image.channels);
    const int last = (is_rows ? image.rows : image.columns) - 1;
    for (int y = 0; y < wide.rows; ++y)
        for (int x = 0; x < wide.columns; ++x) {
            const int i = is_rows ? y : x, near = i / 2;
            const int far = std::clamp(i % 2 ? near + 1 : near - 1, 0, last);
            const float *a = is_rows ? image.at(near, x) : image.at(y, near),
                        *b = is_rows ? image.at(far, x) : image.at(y, far);
            for (int c = 0; c < image.channels; ++c) wide.at(y, x)[c] = 0.75f * a[c] + 0.25f * b[c];
        }
    return wide;
}

// Fills unknown pixels with colours that cost few bits: those of their surroundings, more blurred with distance.
// Source: push-pull, Gortler 1996 (The Lumigraph), with 2x2 means down and bilinear interpolation up.
void fill(Image& image, const Mask& known) {
    if (std::find(known.begin(), known.end(), 0) == known.end()) return;
    if (image.rows == 1 && image.columns == 1) {
        std::fill(image.data.begin(), image.data.end(), kRangeOfPixels / 2.0f);
        return;
    }
    Mask known_means;
    Image half = halved(image, known, known_means);
    fill(half, known_means);
    const Image smooth = doubled(doubled(half, true, image.rows), false, image.columns);
    for (size_t i = 0; i < known.size(); ++i)
        if (!known[i])
            std::copy_n(smooth.data.data() + i * image.channels, image.channels,
                        image.data.data() + i * image.channels);
}

Mask known_of(const SampleView& samples, const Rect& area) {
    Mask known(size_t(area.rows()) * area.columns());
    const int bytes = samples.depth / 8;
    auto to = known.begin();
    for (int y = area.y0; y < area.y1; ++y)
        for (int x = area.x0; x < area.x1; ++x) {
            const uint8_t* from = samples.alpha + y * samples.alpha_row + x * samples.alpha_column;
            *to++ = from[0] != 0 || from[bytes - 1] != 0;
        }
    return known;
}

template <class Sample>
void fill_input(const SampleView& samples, const Rect& area, int threads, TileInput& input) {
    const int width = area.columns();
    const auto sample = [&](int y, int x, int c) {
        return load<Sample>(samples.data + (area.y0 + y) * samples.row + (area.x0 + x) * samples.column +
                            std::min(c, samples.channels - 1) * samples.channel);
    };
    Image filled(0, 0, samples.channels);
    if (samples.alpha != nullptr) {
        const Mask known = known_of(samples, area);
        if (std::find(known.begin(), known.end(), 0) != known.end()) {
            filled = Image(area.rows(), width, samples.channels);
            constexpr float kScale = float(kRangeOfPixels) / std::numeric_limits<Sample>::max();
            for (int y = 0; y < filled.rows; ++y)
                for (int x = 0; x < width; ++x)
                    for (int c = 0; c < samples.channels; ++c) filled.at(y, x)[c] = sample(y, x, c) * kScale;
            fill(filled, known);
        }
    }
    parallel_for(threads, input.rows, [&](int64_t i) {
        const int y = std::min(static_cast<int>(i), area.rows() - 1);
        int16_t* const to = input.data.get() + i * input.columns * kChannels;
        for (int x = 0; x < width; ++x)
            for (int c = 0; c < kChannels; ++c) {
                const int16_t value =
                    filled.rows == 0
                        ? scaled(sample(y, x, c))
                        : static_cast<int16_t>(round_even(filled.at(y, x)[std::min(c, samples.channels - 1)]));
                to[x * kChannels + c] = static_cast<int16_t>(value - kRangeOfPixels / 2);
            }
        for (int x = width; x < input.columns; ++x)
            std::copy_n(to + (width - 1) * kChannels, kChannels, to + x * kChannels);
    });
}

}  // namespace

TileInput tile_input(const SampleView& samples, const Rect& area, int threads) {
    const auto whole = [](int n) { return (n + kLatentStride - 1) / kLatentStride * kLatentStride; };
    TileInput input = {whole(area.rows()), whole(area.columns()), {}};
    input.data = Buffer<int16_t>(size_t(input.rows) * input.columns * kChannels);
    if (samples.depth == 8)
        fill_input<uint8_t>(samples, area, threads, input);
    else
        fill_input<uint16_t>(samples, area, threads, input);
    return input;
}

}  // namespace aec
