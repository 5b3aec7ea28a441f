// The kernels in plain C++: what the vector ones must equal, and what runs where there are none.
#include "nets_kernels.h"

namespace aec {
namespace {

// Sums wrap, as vectors do: unsigned, because a signed overflow on the way would be undefined.
uint32_t product(int16_t a, int16_t b) { return static_cast<uint32_t>(static_cast<int32_t>(a) * b); }

void pointwise(const Pointwise& conv, const PointwiseCall& call) {
    for (int i = 0; i < call.n; ++i) {
        const ptrdiff_t place = call.places ? call.places[i] : i;
        if (place < 0) continue;
        const int16_t* in = call.in + i * call.in_stride;
        int16_t* out = call.out + place * call.out_stride;
        const int16_t* weight = conv.weight;
        for (int first = 0; first < conv.outputs; first += kBlock) {
            uint32_t sum[kBlock];
            for (int o = 0; o < kBlock; ++o) sum[o] = static_cast<uint32_t>(conv.start[first + o]);
            for (int pair = 0; pair < conv.input_pairs; ++pair, weight += 2 * kBlock)
                for (int o = 0; o < kBlock; ++o)
                    sum[o] += product(in[2 * pair], weight[2 * o]) + product(in[2 * pair + 1], weight[2 * o + 1]);
            for (int o = 0; o < kBlock; ++o) {
                const int channel = first + o;
                int16_t x = rescale(static_cast<int32_t>(sum[o]), conv.shift[channel]);
                if (call.vector) x = add(x, call.vector[channel]);
                if (call.adds_to_out) x = add(x, out[channel]);
                out[channel] = call.is_leaky ? leaky(x) : x;
            }
        }
    }
}

void depthwise(const Depthwise& conv, const DepthwiseCall& call) {
    for (int i = 0; i < call.n; ++i)
        for (int c = 0; c < conv.channels; ++c) {
            uint32_t sum = static_cast<uint32_t>(conv.start[c]);
            for (int t = 0; t < kTaps; ++t)
                sum += product(call.taps[t][i * call.strides[t] + c], conv.weight[t * conv.channels + c]);
            call.out[i * call.out_stride + c] = rescale(static_cast<int32_t>(sum), conv.shift[c]);
        }
}

uint64_t multiply_add_peak(uint64_t rounds) {
    uint32_t sums[kBlock] = {};
    for (uint64_t i = 0; i < rounds; ++i) {
        int16_t factor = static_cast<int16_t>(i);
        asm volatile("" : "+r"(factor));
        for (int o = 0; o < kBlock; ++o) sums[o] += product(factor, static_cast<int16_t>(o));
        asm volatile("" : : "r"(sums) : "memory");
    }
    return rounds * kBlock;
}

}  // namespace

const Kernels kScalarKernels = {pointwise, depthwise, multiply_add_peak};

}  // namespace aec
