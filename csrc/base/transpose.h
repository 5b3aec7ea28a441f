// out[c][r] = in[r][c] for elements of 1 or 2 bytes. The networks' tensors have the channel as their last dimension,
// and the segments of symbols have it as their first.
//
// The work is done in squares whose rows fit a 64-bit word: 8x8 elements of 1 byte or 4x4 of 2 bytes. A square is
// transposed by exchanging its off-diagonal quarters, and then doing the same within each quarter (Hacker's Delight,
// 7-3).
#pragma once

#include <cstring>

#include "base/portable.h"

namespace aec {

// Divides a and b into fields of 2 * bits bits, and exchanges the high half of each field of a with the low half of the
// same field of b. low_halves: a mask of the low halves.
inline void swap_halves(uint64_t& a, uint64_t& b, int bits, uint64_t low_halves) {
    const uint64_t difference = ((a >> bits) ^ b) & low_halves;
    b ^= difference;
    a ^= difference << bits;
}

template <class T>
void transpose_square(const T* in, ptrdiff_t in_stride, T* out, ptrdiff_t out_stride) {
    constexpr int kSide = 8 / sizeof(T);
    uint64_t rows[kSide];
    for (int i = 0; i < kSide; ++i) std::memcpy(&rows[i], in + i * in_stride, 8);
    for (int i = 0; i < kSide / 2; ++i) swap_halves(rows[i], rows[i + kSide / 2], 32, 0x00000000FFFFFFFF);
    for (int i = 0; i < kSide; i += kSide / 2)
        for (int j = i; j < i + kSide / 4; ++j) swap_halves(rows[j], rows[j + kSide / 4], 16, 0x0000FFFF0000FFFF);
    if constexpr (sizeof(T) == 1)
        for (int i = 0; i < kSide; i += 2) swap_halves(rows[i], rows[i + 1], 8, 0x00FF00FF00FF00FF);
    for (int i = 0; i < kSide; ++i) std::memcpy(out + i * out_stride, &rows[i], 8);
}

// in: [rows][columns]; out: [columns][rows]; strides in elements.
template <class T>
void transpose(const T* in, ptrdiff_t in_stride, int rows, int columns, T* out, ptrdiff_t out_stride) {
    static_assert(sizeof(T) == 1 || sizeof(T) == 2, "words are of 64 bits");
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    constexpr int kSide = 8 / sizeof(T);
#else
    constexpr int kSide = 1 << 30;
#endif
    const int whole_rows = rows / kSide * kSide, whole_columns = columns / kSide * kSide;
    for (int r = 0; r < whole_rows; r += kSide)
        for (int c = 0; c < whole_columns; c += kSide)
            transpose_square(in + r * in_stride + c, in_stride, out + c * out_stride + r, out_stride);
    for (int r = 0; r < rows; ++r)
        for (int c = r < whole_rows ? whole_columns : 0; c < columns; ++c)
            out[c * out_stride + r] = in[r * in_stride + c];
}

}  // namespace aec
