// Exact sums of int16 x int16 products on the tensor cores, which multiply bytes and have 32-bit accumulators.
//
// Write an activation as x = 256 * x_high + x_low, with a signed byte x_high and an unsigned byte x_low, and a weight w
// likewise. Then
//   x * w = 2^16 * x_high * w_high + 2^8 * (x_high * w_low + x_low * w_high) + x_low * w_low,
// so a sum of products is computed as three sums of byte products, which are combined at the end. If all weights are
// signed bytes, there are only two: x * w = 2^8 * x_high * w + x_low * w. These sums and their combination may wrap
// around modulo 2^32. That does no harm: the complete sum lies within int32 for every model that is loaded (nets.h),
// and a number within int32 is determined by its value modulo 2^32.
#pragma once

#include "base/portable.h"

namespace aec {

// One thread's share of the operands of mma.sync.m16n8k32 with 8-bit operands (PTX ISA, "Matrix Fragments for
// mma.m16n8k32"), with lane = 4 * group + member: A is [16 rows][32], B [32][8 columns], C [16 rows][8 columns].
//   A: register 0: row group, k = 4 * member + 0..3; 1: row group + 8; 2 and 3: the same at k + 16.
//   B: register 0: column group, k = 4 * member + 0..3; 1: the same at k + 16.
//   C: registers 0, 1: row group, columns 2 * member and + 1; 2, 3: row group + 8.
// Which input channel is assigned to which k does not matter, as long as A and B agree. Here, of every 32 channels, the
// thread `member` gets channels 8 * member + 0..7, so that it loads them with one instruction: the first four are the
// hardware's k = 4 * member + 0..3, the other four k + 16.
// Rows of A (positions), columns of B (output channels), and input channels in one instruction.
constexpr int kMmaRows = 16, kMmaColumns = 8, kMmaDepth = 32;

// Two int16 channels are loaded and stored as a Word, and eight as a Quad.
using Word [[gnu::may_alias]] = uint32_t;
struct alignas(16) [[gnu::may_alias]] Quad {
    uint32_t at[4];
};

#ifdef __CUDACC__
// c += a * b, computed by all threads of a warp together. kSignedA, kSignedB: whether the bytes are signed.
template <bool kSignedA, bool kSignedB>
__device__ __forceinline__ void mma(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#define AEC_MMA(TYPES)                                                                                       \
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32." TYPES ".s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, " \
                 "{%8, %9}, {%0, %1, %2, %3};"                                                               \
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])                                            \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
    if (kSignedA && kSignedB) AEC_MMA("s8.s8");
    if (kSignedA && !kSignedB) AEC_MMA("s8.u8");
    if (!kSignedA && kSignedB) AEC_MMA("u8.s8");
    if (!kSignedA && !kSignedB) AEC_MMA("u8.u8");
#undef AEC_MMA
}
#else
}  // namespace aec
#include "mma_emulated.h"  // tests/cuda_emulation
namespace aec {
#endif

}  // namespace aec
