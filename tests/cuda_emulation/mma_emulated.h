// The instruction mma.sync.m16n8k32 with 8-bit operands, written from the PTX ISA ("Matrix Fragments for
// mma.m16n8k32"). csrc/engine/mma.cuh includes this file instead of the instruction when kernels are emulated.
#pragma once

#include "cuda_runtime_api.h"

namespace emulate {

struct Operands {
    uint32_t a[4], b[2];
    int32_t c[4];
};
struct Accumulators {
    int32_t at[4];
};

// Most of the time of the tests is spent here. So these loops are such that the compiler makes vectors of them, and the
// sanitizers leave them alone: their indexes do not depend on what a kernel does, and their sums cannot overflow.
template <bool kSignedA, bool kSignedB>
[[gnu::optimize("O3"), gnu::no_sanitize("address", "undefined")]] void multiply_add(uint32_t mask,
                                                                                  const Operands* const* in,
                                                                                  Accumulators* const* out) {
    if (mask != 0xFFFFFFFF) fail("mma without all lanes of the warp");
    int16_t a[16][32], b[8][32];  // A: [row][k], B: [column][k]
    for (int lane = 0; lane < kWarpSize; ++lane) {
        const int group = lane >> 2, member = lane % 4;
        for (int i = 0; i < 16; ++i) {
            const int row = i < 4 || (i >= 8 && i < 12) ? group : group + 8;
            const int column = member * 4 + (i & 3) + (i >= 8 ? 16 : 0);
            const uint32_t byte = in[lane]->a[i / 4] >> i % 4 * 8 & 0xFF;
            a[row][column] = static_cast<int16_t>(kSignedA ? static_cast<int8_t>(byte) : static_cast<int>(byte));
        }
        for (int i = 0; i < 8; ++i) {
            const uint32_t byte = in[lane]->b[i / 4] >> i % 4 * 8 & 0xFF;
            b[group][member * 4 + (i & 3) + (i >= 4 ? 16 : 0)] =
                static_cast<int16_t>(kSignedB ? static_cast<int8_t>(byte) : static_cast<int>(byte));
        }
    }
    for (int lane = 0; lane < kWarpSize; ++lane)
        for (int i = 0; i < 4; ++i) {
            const int row = lane / 4 + (i < 2 ? 0 : 8), column = lane % 4 * 2 + (i & 1);
            int sum = 0;  // 32 products of bytes cannot overflow it
            for (int k = 0; k < 32; ++k) sum += a[row][k] * b[column][k];
            out[lane]->at[i] = static_cast<int32_t>(static_cast<uint32_t>(in[lane]->c[i]) + static_cast<uint32_t>(sum));
        }
}

}  // namespace emulate

namespace aec {

template <bool kSignedA, bool kSignedB>
void mma(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], EMULATE_SITE) {
    const emulate::Operands operands = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}, {c[0], c[1], c[2], c[3]}};
    const auto result = emulate::collective<emulate::Accumulators, emulate::Operands>(
        {"mma", file, line}, 0xFFFFFFFF, operands, emulate::multiply_add<kSignedA, kSignedB>);
    for (int i = 0; i < 4; ++i) c[i] = result.at[i];
}

}  // namespace aec
