// The samples of a picture, and what the analysis reads of them.
#pragma once

#include "engine/executor.h"

namespace aec {

// A picture that somebody else owns: 8 or 16 bits a sample, in any order. Distances are in bytes, and may be negative;
// samples of 16 bits need not be aligned.
struct SampleView {
    int width, height;
    int channels;  // 1: gray; 3: RGB
    int depth;     // 8 or 16 bits a sample, alpha's included
    const uint8_t* data;
    ptrdiff_t row, column, channel;  // how far neighbouring samples are apart
    const uint8_t* alpha = nullptr;  // null: the picture is opaque
    ptrdiff_t alpha_row = 0, alpha_column = 0;
};

// The pixels of an area as Analysis reads them: [rows][columns][3], with both numbers rounded up to multiples of 16.
// Beyond the picture's right and bottom edges, the edge pixels are repeated. Where alpha is 0, colours are replaced by
// such that cost few bits.
struct TileInput {
    int rows, columns;
    Buffer<int16_t> data;
    const int16_t* row(int y) const { return data.get() + static_cast<ptrdiff_t>(y) * columns * 3; }
};

// area: in pixels, within the picture and not empty.
TileInput tile_input(const SampleView& samples, const Rect& area, int threads);

}  // namespace aec
