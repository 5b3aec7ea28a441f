// int16 x int16 -> int32 products on the tensor cores, exactly: bytes in, 32-bit sums out.
//
// x = 256 * high + low, high a signed and low an unsigned byte, and so is w. Their product takes four byte products:
//   x * w = 2^16 * high * high + 2^8 * (high * low + low * high) + low * low,
// so a sum of products is three sums of byte products, put together at the end. Summing, shifting and adding them may
// wrap around modulo 2^32: FORMAT §8 proves that the whole lies within int32, so what is left after wrapping is that
// very number.
#pragma once

#include "base/portable.h"

namespace aec {

// One thread's share of the operands of mma.sync.m16n8k32 with 8-bit operands (PTX ISA, "Matrix Fragments for
// mma.m16n8k32"), with lane = 4 * group + member: A is [16 rows][32], B [32][8 columns], C [16 rows][8 columns].
//   A: register 0: row group, k = 4 * member + 0..3; 1: row group + 8; 2 and 3: the same at k + 16.
//   B: register 0: column group, k = 4 * member + 0..3; 1: the same at k + 16.
//   C: registers 0, 1: row group, columns 2 * member and + 1; 2, 3: row group + 8.
// All that a sum over k asks for is that A and B agree on which k is which. Here thread `member` owns the channels
// 8 * member + 0..7 of every 32, so that it reads them in one piece: the first four stand for the hardware's
// k = 4 * member + 0..3, the others for k + 16.
constexpr int kMmaRows = 16, kMmaDepth = 32;

// Channels change their type on the way: two int16 are a Word, eight a Quad.
using Word [[gnu::may_alias]] = uint32_t;
struct alignas(16) [[gnu::may_alias]] Quad {
    uint32_t at[4];
};

#ifdef __CUDACC__
// c += a * b on one warp, signed or unsigned bytes.
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
