// The memory that a picture, or a part of it, is decoded to, and how samples get there: means of squares, another
// depth, other channels. codec/picture/pixels.py has the same rules (`box_means`, `to_depth`).
#pragma once

#include <limits>

#include "container/header.h"

namespace aec {

// Rows of interleaved samples of 8 or 16 bits: gray or RGB, and maybe alpha last.
struct Canvas {
    uint8_t* data;
    size_t stride;  // bytes between rows
    int channels;  // 1 to 4
    int depth;  // 8 or 16
    int shrink;  // 1, 2, 4 or 8: each of its pixels is the mean of a square of so many pixels of the picture
    // Its place in the picture, in its own pixels.
    uint32_t left, top, width, height;

    bool has_alpha() const { return channels % 2 == 0; }
    int colours() const { return channels < 3 ? 1 : 3; }
    uint8_t* at(uint32_t x, uint32_t y) const {
        return data + (y - top) * stride + size_t{x - left} * channels * (depth / 8);
    }
    // The pixels of the picture that it shows, in whole squares, as far as the picture has them.
    Area area(uint32_t picture_width, uint32_t picture_height) const {
        const uint32_t x = left * shrink, y = top * shrink;
        return {x, y, std::min((left + width) * shrink, picture_width) - x,
                std::min((top + height) * shrink, picture_height) - y};
    }
};

// Samples of an area of the picture, whose sides lie on borders of the canvas' squares or at the picture's edges.
template <class T>
struct Samples {
    const T* data;
    ptrdiff_t stride, step;  // elements between rows, and between pixels of a row
    Area area;
    int colours;  // 1 or 3
    int alpha;  // the number of the channel that is the alpha, by which means of colours are weighted; or -1
    int depth = 8 * sizeof(T);
};

// Places samples on the canvas, which must show their whole area; opaque if they have no alpha. Samples of one colour
// channel fill all three of a canvas; a gray canvas takes the first of three.
template <class T>
void place(const Canvas& canvas, const Samples<T>& samples);
// Places samples of one channel, which are the alpha, if the canvas has a channel for it.
template <class T>
void place_alpha(const Canvas& canvas, const Samples<T>& samples);
// Places finished samples, whose squares and depth are those of the canvas: [height][width][colours], at (x, y) in
// pixels of the canvas.
template <class T>
void place_made(const Canvas& canvas, const T* samples, int colours, uint32_t x, uint32_t y, uint32_t width,
                uint32_t height);

}  // namespace aec
