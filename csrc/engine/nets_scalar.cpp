// The networks' kernels in plain C++, for machines without SIMD. The SIMD kernels must give the same results.
#include "engine/nets_rows.h"

namespace aec {
namespace {

int32_t product(int16_t a, int16_t b) { return static_cast<int32_t>(a) * b; }

void pointwise(const Pointwise& conv, const PointwiseCall& call) {
    for (int i = 0; i < call.n; ++i) {
        const int16_t* in = call.in + i * call.in_stride;
        int16_t* out = call.out + i * call.out_stride;
        const int16_t* weight = conv.weight;
        for (int first = 0; first < conv.outputs; first += kBlock) {
            int32_t sum[kBlock];
            for (int o = 0; o < kBlock; ++o) sum[o] = conv.start[first + o];
            for (int pair = 0; pair < conv.input_pairs; ++pair, weight += 2 * kBlock)
                for (int o = 0; o < kBlock; ++o)
                    sum[o] += product(in[2 * pair], weight[2 * o]) + product(in[2 * pair + 1], weight[2 * o + 1]);
            for (int o = 0; o < kBlock; ++o) {
                const int channel = first + o;
                const int32_t added = (call.vector ? call.vector[channel] : 0) + (call.adds_to_out ? out[channel] : 0);
                out[channel] = finish(sum[o], conv.shift[channel], added, call.is_leaky);
            }
        }
    }
}

void depthwise(const Depthwise& conv, const DepthwiseCall& call) {
    for (int i = 0; i < call.n; ++i)
        for (int c = 0; c < conv.channels; ++c) {
            int32_t sum = conv.start[c];
            for (int t = 0; t < kTaps; ++t)
                sum += product(call.taps[t][i * call.strides[t] + c], conv.weight[t * conv.channels + c]);
            call.out[i * call.out_stride + c] = finish(sum, conv.shift[c], 0, false);
        }
}

void sums(const Pointwise& conv, const SumsCall& call) {
    for (int i = 0; i < call.n; ++i) {
        const int16_t* in = call.in + i * call.in_stride;
        const int16_t* weight = conv.weight;
        for (int first = 0; first < conv.outputs; first += kBlock) {
            int32_t* out = call.out + i * call.out_stride + first;
            for (int o = 0; o < kBlock; ++o) out[o] = 0;
            for (int pair = 0; pair < conv.input_pairs; ++pair, weight += 2 * kBlock)
                for (int o = 0; o < kBlock; ++o)
                    out[o] += product(in[2 * pair], weight[2 * o]) + product(in[2 * pair + 1], weight[2 * o + 1]);
        }
    }
}

}  // namespace

constexpr Kernels kScalarKernels = with_rows({pointwise, depthwise, sums});

}  // namespace aec
