#include "picture/canvas.h"

#include <cmath>

namespace aec {
namespace {

uint32_t to_depth(uint32_t sample, int from, int to) {
    if (from == to) return sample;
    return to == 16 ? sample * 257 : (sample * 255 + 32767) / 65535;
}

void store(const Canvas& canvas, uint8_t* pixel, int channel, uint32_t sample) {
    if (canvas.depth == 8)
        pixel[channel] = static_cast<uint8_t>(sample);
    else
        reinterpret_cast<uint16_t*>(pixel)[channel] = static_cast<uint16_t>(sample);
}

void store_opaque(const Canvas& canvas, uint8_t* pixel) {
    if (canvas.has_alpha()) store(canvas, pixel, canvas.channels - 1, canvas.depth == 8 ? 255 : 65535);
}

// A square of samples, whose sides may be cut by the picture's edges.
template <class T>
struct Square {
    const T* data;
    ptrdiff_t stride, step;
    int rows, columns;

    float area() const { return static_cast<float>(rows) * static_cast<float>(columns); }
};

// The sums are floats that are added in a fixed order, so that results are the same on every machine, and as in Python:
// they are rounded only for weighted samples of 16 bits.
template <class T>
float sum_of(const Square<T>& square, int channel) {
    float sum = 0;
    for (int y = 0; y < square.rows; ++y)
        for (int x = 0; x < square.columns; ++x)
            sum += static_cast<float>(square.data[y * square.stride + x * square.step + channel]);
    return sum;
}

template <class T>
float weighted_sum_of(const Square<T>& square, int channel, int weight) {
    float sum = 0;
    for (int y = 0; y < square.rows; ++y)
        for (int x = 0; x < square.columns; ++x) {
            const T* pixel = square.data + y * square.stride + x * square.step;
            sum += static_cast<float>(pixel[channel]) * static_cast<float>(pixel[weight]);
        }
    return sum;
}

// weight: a channel; negative: all count equally, as they do where all weights are 0. Halves are rounded to even.
template <class T>
uint32_t mean_of(const Square<T>& square, int channel, int weight) {
    if (square.rows == 1 && square.columns == 1) return square.data[channel];
    const float area = square.area(), share = weight < 0 ? 0 : sum_of(square, weight) / area;
    const float mean =
        share > 0 ? weighted_sum_of(square, channel, weight) / area / share : sum_of(square, channel) / area;
    return static_cast<uint32_t>(std::nearbyint(mean));
}

// Calls use(pixel of the canvas, square of samples) for each pixel of the canvas that the samples cover.
template <class T, class Use>
void for_squares(const Canvas& canvas, const Samples<T>& samples, Use use) {
    const uint32_t shrink = canvas.shrink;
    const Area& area = samples.area;
    for (uint32_t y = 0; y < area.height; y += shrink)
        for (uint32_t x = 0; x < area.width; x += shrink) {
            const T* first =
                samples.data + static_cast<ptrdiff_t>(y) * samples.stride + static_cast<ptrdiff_t>(x) * samples.step;
            const Square<T> square = {first, samples.stride, samples.step,
                                      static_cast<int>(std::min(shrink, area.height - y)),
                                      static_cast<int>(std::min(shrink, area.width - x))};
            use(canvas.at((area.x + x) / shrink, (area.y + y) / shrink), square);
        }
}

}  // namespace

template <class T>
void place(const Canvas& canvas, const Samples<T>& samples) {
    const int alpha = samples.alpha;
    for_squares(canvas, samples, [&](uint8_t* pixel, const Square<T>& square) {
        for (int c = 0; c < canvas.colours(); ++c) {
            const uint32_t mean = mean_of(square, samples.colours == 1 ? 0 : c, alpha);
            store(canvas, pixel, c, to_depth(mean, samples.depth, canvas.depth));
        }
        if (alpha < 0)
            store_opaque(canvas, pixel);
        else if (canvas.has_alpha())
            store(canvas, pixel, canvas.channels - 1,
                  to_depth(mean_of(square, alpha, -1), samples.depth, canvas.depth));
    });
}

template <class T>
void place_alpha(const Canvas& canvas, const Samples<T>& samples) {
    if (!canvas.has_alpha()) return;
    for_squares(canvas, samples, [&](uint8_t* pixel, const Square<T>& square) {
        store(canvas, pixel, canvas.channels - 1, to_depth(mean_of(square, 0, -1), samples.depth, canvas.depth));
    });
}

template <class T>
void place_made(const Canvas& canvas, const T* samples, int colours, uint32_t x, uint32_t y, uint32_t width,
                uint32_t height) {
    for (uint32_t row = 0; row < height; ++row) {
        uint8_t* pixel = canvas.at(x, y + row);
        for (uint32_t column = 0; column < width; ++column, samples += colours) {
            for (int c = 0; c < canvas.colours(); ++c) store(canvas, pixel, c, samples[colours == 1 ? 0 : c]);
            store_opaque(canvas, pixel);
            pixel += canvas.channels * (canvas.depth / 8);
        }
    }
}

template void place(const Canvas&, const Samples<uint8_t>&);
template void place(const Canvas&, const Samples<uint16_t>&);
template void place_alpha(const Canvas&, const Samples<uint8_t>&);
template void place_alpha(const Canvas&, const Samples<uint16_t>&);
template void place_made(const Canvas&, const uint8_t*, int, uint32_t, uint32_t, uint32_t, uint32_t);
template void place_made(const Canvas&, const uint16_t*, int, uint32_t, uint32_t, uint32_t, uint32_t);

}  // namespace aec
