// The part of CUDA's runtime that csrc uses, implemented on the CPU. With this header g++ compiles the unmodified .cu
// files, so that kernels can be tested without a GPU and under sanitizers.
//
// READ ME FIRST
//  1. Each CUDA thread is a fiber. It runs until it has to wait for other threads, at a warp collective (such as
//     __shfl_sync) or at a __syncthreads; this is called a meeting. Between two meetings the threads of a warp run in
//     an order that changes every time. So a kernel that relies on lockstep execution, or lacks a __syncwarp, gives
//     wrong results. It is an error if lanes wait for each other at different calls.
//  2. Device memory is ordinary memory. Compiled with -fsanitize=address,undefined, the process ends at any access
//     outside of a buffer, beyond the dynamic shared memory that the launch asked for, or misaligned for its type.
//  3. Dynamic shared memory (csrc/base/warp.cuh) is filled with a random byte before each block. Blocks run one after
//     the other in random order, so a block that waits for another one never ends. Static shared memory is not cleared:
//     a block finds what the block before it left there.
//  4. To emulate another warp instruction, write it as a `collective`, as __ballot_sync and __shfl_sync are below.
//
// tests/test_cuda_emulation.py builds the extension this way (AEC_CUDA=emulate, see setup.py) and runs tests with it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __shared__ thread_local  // gives static storage within a function, and can be combined with extern
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

struct alignas(16) uint4 { uint32_t x, y, z, w; };
struct uint3 { unsigned x, y, z; };
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

// ------------------------------------------------------------------------------------------------------------ meetings

namespace emulate {

constexpr int kWarpSize = 32;

struct Site {  // where a call stands in the source; only calls at the same site can meet
    const char* what;
    const char* file;
    int line;
};
#define EMULATE_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

[[noreturn]] void fail(const std::string& what);

// Waits until all lanes of `mask` have called this at the same site. Then complete(mask, calls) is called once;
// calls[lane] is the `call` of each lane of the mask, and null for the others.
void meet_warp(const Site& site, uint32_t mask, void* call, void (*complete)(uint32_t mask, void* const* calls));
void meet_block(const Site& site);

// A warp collective: each lane of `mask` gives an `In` and gets an `Out`. op(mask, in, out) is called once for all of
// them; in[lane] and out[lane] are null for lanes outside of the mask.
template <class Out, class In>
Out collective(const Site& site, uint32_t mask, const In& in,
               void (*op)(uint32_t mask, const In* const* in, Out* const* out)) {
    struct Call {
        const In* in;
        Out out;
        void (*op)(uint32_t, const In* const*, Out* const*);
    } call = {&in, Out(), op};
    meet_warp(site, mask, &call, [](uint32_t lanes, void* const* calls) {
        const In* ins[kWarpSize] = {};
        Out* outs[kWarpSize] = {};
        Call* any = nullptr;
        for (int lane = 0; lane < kWarpSize; ++lane)
            if (lanes >> lane & 1) {
                any = static_cast<Call*>(calls[lane]);
                ins[lane] = any->in;
                outs[lane] = &any->out;
            }
        any->op(lanes, ins, outs);
    });
    return call.out;
}

// A collective whose result is the same in all lanes: result = fold(result, value, lane) for each lane of the mask,
// beginning with `first`.
template <class Out, class In>
Out reduce(const Site& site, uint32_t mask, In value, Out (*fold)(Out, In, int lane), Out first) {
    struct Arguments {
        In value;
        Out (*fold)(Out, In, int);
        Out first;
    };
    return collective<Out, Arguments>(site, mask, {value, fold, first},
                                      [](uint32_t, const Arguments* const* in, Out* const* out) {
                                          Out result = Out();
                                          bool started = false;
                                          for (int lane = 0; lane < kWarpSize; ++lane)
                                              if (in[lane]) {
                                                  if (!started) result = in[lane]->first;
                                                  started = true;
                                                  result = in[lane]->fold(result, in[lane]->value, lane);
                                              }
                                          for (int lane = 0; lane < kWarpSize; ++lane)
                                              if (out[lane]) *out[lane] = result;
                                      });
}

// A collective in which each lane gets the value of lane `from`.
template <class T>
T shuffle(const Site& site, uint32_t mask, T value, int from) {
    struct Arguments {
        T value;
        int from;
    };
    return collective<T, Arguments>(site, mask, {value, from},
                                    [](uint32_t, const Arguments* const* in, T* const* out) {
                                        for (int lane = 0; lane < kWarpSize; ++lane) {
                                            if (!out[lane]) continue;
                                            if (!in[in[lane]->from]) fail("shuffle from a lane outside of its mask");
                                            *out[lane] = in[in[lane]->from]->value;
                                        }
                                    });
}

inline int lane_index() { return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % kWarpSize; }

}  // namespace emulate

inline void __syncthreads(EMULATE_SITE) { emulate::meet_block({"__syncthreads", file, line}); }
inline void __syncwarp(uint32_t mask = 0xFFFFFFFF, EMULATE_SITE) {
    emulate::meet_warp({"__syncwarp", file, line}, mask, nullptr, [](uint32_t, void* const*) {});
}

inline uint32_t __ballot_sync(uint32_t mask, int predicate, EMULATE_SITE) {
    return emulate::reduce<uint32_t, int>(
        {"__ballot_sync", file, line}, mask, predicate,
        [](uint32_t votes, int vote, int lane) { return votes | static_cast<uint32_t>(vote != 0) << lane; }, 0);
}
inline int __any_sync(uint32_t mask, int predicate, EMULATE_SITE) {
    return emulate::reduce<int, int>({"__any_sync", file, line}, mask, predicate,
                                     [](int any, int vote, int) { return any | (vote != 0); }, 0);
}
inline int __all_sync(uint32_t mask, int predicate, EMULATE_SITE) {
    return emulate::reduce<int, int>({"__all_sync", file, line}, mask, predicate,
                                     [](int all, int vote, int) { return all & (vote != 0); }, 1);
}
template <class T>
T __reduce_add_sync(uint32_t mask, T value, EMULATE_SITE) {
    return emulate::reduce<T, T>({"__reduce_add_sync", file, line}, mask, value,
                                 [](T a, T b, int) { return static_cast<T>(a + b); }, T());
}

// width: the warp is divided into parts of so many lanes, and a lane that would read outside of its part gets its own
// value.
template <class T>
T __shfl_sync(uint32_t mask, T value, int from, int width = 32, EMULATE_SITE) {
    const int lane = emulate::lane_index();
    return emulate::shuffle({"__shfl_sync", file, line}, mask, value, (lane & -width) + (from & (width - 1)));
}
template <class T>
T __shfl_up_sync(uint32_t mask, T value, unsigned delta, int width = 32, EMULATE_SITE) {
    const int lane = emulate::lane_index(), inside = lane & (width - 1), by = static_cast<int>(delta);
    return emulate::shuffle({"__shfl_up_sync", file, line}, mask, value, inside >= by ? lane - by : lane);
}
template <class T>
T __shfl_down_sync(uint32_t mask, T value, unsigned delta, int width = 32, EMULATE_SITE) {
    const int lane = emulate::lane_index(), inside = lane & (width - 1), by = static_cast<int>(delta);
    return emulate::shuffle({"__shfl_down_sync", file, line}, mask, value, inside + by < width ? lane + by : lane);
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int bits, int width = 32, EMULATE_SITE) {
    const int lane = emulate::lane_index(), from = lane ^ bits;
    return emulate::shuffle({"__shfl_xor_sync", file, line}, mask, value, from <= (lane | (width - 1)) ? from : lane);
}

// ----------------------------------------------------------------------------------------------- what one thread does

using std::min;

inline int __popc(uint32_t x) { return __builtin_popcount(x); }
inline uint32_t __byte_perm(uint32_t a, uint32_t b, uint32_t selectors) {
    const uint64_t bytes = static_cast<uint64_t>(b) << 32 | a;
    uint32_t out = 0;
    for (int i = 0; i < 4; ++i) out |= static_cast<uint32_t>(bytes >> (selectors >> 4 * i & 7) * 8 & 0xFF) << 8 * i;
    return out;
}
template <class T>
T atomicAdd(T* p, T value) {
    return std::exchange(*p, static_cast<T>(*p + value));
}
template <class T>
T atomicMin(T* p, T value) {
    return std::exchange(*p, std::min(*p, value));
}

// --------------------------------------------------------------------------------------------------------- the runtime

using cudaStream_t = void*;
enum cudaError_t { cudaSuccess, cudaErrorInvalidConfiguration };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes = 0;
    cudaStream_t stream = nullptr;
};

inline const char* cudaGetErrorString(cudaError_t error) { return error ? "invalid configuration" : "no error"; }
inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
inline cudaError_t cudaGetDevice(int* device) {
    *device = 0;
    return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* p, int value, size_t bytes, cudaStream_t) {
    if (bytes > 0) std::memset(p, value, bytes);
    return cudaSuccess;
}

namespace emulate {
void allow_shared(const void* kernel, size_t bytes);
cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel, const std::function<void()>& thread);
}  // namespace emulate

template <class... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute, int bytes) {
    emulate::allow_shared(reinterpret_cast<const void*>(kernel), bytes);
    return cudaSuccess;
}
template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
    const std::tuple<Parameters...> values(std::forward<Arguments>(arguments)...);
    return emulate::launch(*config, reinterpret_cast<const void*>(kernel), [&] { std::apply(kernel, values); });
}
