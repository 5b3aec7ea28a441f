// Linear prediction of a sample from its neighbours, with weights that are fitted to the samples around it by least
// squares, in integers (FORMAT §9.3). A plane's columns are cut into blocks of 8. Each block has sums of products of
// the samples that were coded in it, in which a row counts less with every row that follows; the weights of a block
// are those that fit best to the sums of the block and of its two neighbours.
//
// The two kernels exist once for each instruction set. All give the same numbers: sums of integers that cannot
// overflow do not depend on their order.
#pragma once

#include "base/portable.h"

namespace aec {

constexpr int kBlock = 8;         // columns
constexpr int kMaxFeatures = 47;  // and the target, so that a row has at most 48 numbers
constexpr int kRow = kMaxFeatures + 1;
constexpr int kFeatureLimit = 2047;  // features and targets are clamped to this magnitude before they are multiplied
constexpr int kSlowest = 6;          // sums lose a 2^6th or more of themselves with each row
static_assert(int64_t{kFeatureLimit} * kFeatureLimit * kBlock << kSlowest < int64_t{1} << 31,
              "a sum is at most 2^kSlowest times what a row adds, and fits 32 bits");

// The products of n features with each other and with the target, which is number n. Row i begins at the multiple of 8
// up to i, and ends at the multiple of 8 above n; what is left of the diagonal is never used.
AEC_HD int row_end(int n) { return (n + 8) / 8 * 8; }
AEC_HD int row_begin(int row) { return row / 8 * 8; }
AEC_HD int row_start(int row, int n) {  // where number 0 of the row would be
    const int full = row / 8;
    return row * row_end(n) - 8 * (4 * full * (full - 1) + row % 8 * full) - row_begin(row);
}
AEC_HD int sums_size(int n) { return row_start(n, n) + row_begin(n); }

struct LeastSquaresKernels {
    // sums -= sums >> decay, and then the products of `count` samples are added. features: [count][kRow], in which the
    // numbers after the target are 0.
    void (*add)(int32_t* sums, int n, int decay, const int32_t* features, int count);
    // weights: n of them in units of 2^-16, and zeros up to kRow.
    void (*solve)(const int32_t* left, const int32_t* middle, const int32_t* right, int n, int32_t* weights);
    int64_t (*product)(const int32_t* weights, const int32_t* features, int n);  // may read up to kRow of both
};

LeastSquaresKernels least_squares_scalar();
LeastSquaresKernels least_squares_avx2();

}  // namespace aec
