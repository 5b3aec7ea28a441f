// The networks' kernels for NEON, which every aarch64 has. smlal multiplies int16 by one lane of another register, and
// adds the products to int32.
#include <arm_neon.h>

#include "engine/nets_simd.h"

namespace aec {
namespace {

struct Neon {
    using Sums = int32x4_t;
    using Values = int16x8_t;
    static constexpr int kLanes = 4;
    static constexpr int kRows = 6, kSums = 4;  // 32 registers: 24 sums, 4 for weights, up to 4 factors

    template <int n>
    struct Weights {
        int16x8x2_t v[n / 2];  // val[0]: the weights of the first input, val[1]: of the second
    };
    using Factor = int16x4_t;  // the two inputs are in lanes 0 and 1
    template <int n>
    static Weights<n> weights(const int16_t* p) {
        Weights<n> w;
        for (int v = 0; v < n / 2; ++v) w.v[v] = vld2q_s16(p + v * 4 * kLanes);
        return w;
    }
    static Factor factor(const int16_t* p) {
        int32_t pair;
        __builtin_memcpy(&pair, p, sizeof pair);
        return vreinterpret_s16_s32(vdup_n_s32(pair));
    }
    template <int n>
    static void multiply_add(Sums* sums, const Weights<n>& w, Factor x) {
        for (int v = 0; v < n / 2; ++v) {
            sums[2 * v] = vmlal_lane_s16(sums[2 * v], vget_low_s16(w.v[v].val[0]), x, 0);
            sums[2 * v] = vmlal_lane_s16(sums[2 * v], vget_low_s16(w.v[v].val[1]), x, 1);
            sums[2 * v + 1] = vmlal_high_lane_s16(sums[2 * v + 1], w.v[v].val[0], x, 0);
            sums[2 * v + 1] = vmlal_high_lane_s16(sums[2 * v + 1], w.v[v].val[1], x, 1);
        }
    }

    static void tap_pair(Sums& low, Sums& high, Values x0, Values x1, Values w0, Values w1) {
        low = vmlal_s16(low, vget_low_s16(x0), vget_low_s16(w0));
        low = vmlal_s16(low, vget_low_s16(x1), vget_low_s16(w1));
        high = vmlal_high_s16(high, x0, w0);
        high = vmlal_high_s16(high, x1, w1);
    }
    static void split(Sums&, Sums&) {}
    static Values join(Sums low, Sums high) { return vqmovn_high_s32(vqmovn_s32(low), high); }
    static Values narrow(Sums a, Sums b) { return join(a, b); }

    static Sums shift_right(Sums x, Sums count) { return vshlq_s32(x, vnegq_s32(count)); }
    static Sums widen(const int16_t* p) { return vmovl_s16(vld1_s16(p)); }
    static Sums add(Sums a, Sums b) { return vaddq_s32(a, b); }
    static Sums leaky(Sums x) { return vmaxq_s32(x, vrshrq_n_s32(x, kLeakBits)); }
    static Sums no_sums() { return vdupq_n_s32(0); }
    static Values zero() { return vdupq_n_s16(0); }
    static Sums load(const int32_t* p) { return vld1q_s32(p); }
    static Values load(const int16_t* p) { return vld1q_s16(p); }
    static void store(int32_t* p, Sums x) { vst1q_s32(p, x); }
    static void store(int16_t* p, Values x) { vst1q_s16(p, x); }
    template <class Vector>
    static void keep(Vector& x) {
        asm volatile("" : "+w"(x));
    }
};

}  // namespace

constexpr Kernels kNeonKernels = kernels_of<Neon>();

}  // namespace aec
