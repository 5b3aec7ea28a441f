// CUDA for g++: what kernels and launchers use, so that the *unmodified* .cu files run on the CPU, under sanitizers.
//
// READ ME FIRST
//  1. A CUDA thread is a fiber. It runs until it meets other threads: a warp collective or a __syncthreads. What lies
//     between two meetings runs in an order that changes from meeting to meeting, so code that relies on lockstep, or
//     forgets a __syncwarp, gives wrong results. Lanes that wait for each other at different places are an error.
//  2. Device memory is the process's memory. Compiled with -fsanitize=address,undefined, any access outside of a
//     buffer, to what dynamic shared memory was not asked for, or misaligned for its type ends the process.
//  3. Dynamic shared memory (csrc/base/warp.cuh) is filled with rubbish before each block. Blocks run one after the other,
//     in any order: a block that waits for another never ends. Static shared memory keeps what the last block left.
//  4. A new instruction (mma ...) is a `collective`, as __ballot_sync and __shfl_sync below.
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
#define __shared__ thread_local  // static storage inside a function, and goes with extern
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

struct Site {  // two calls meet only if they stand at the same place
    const char* what;
    const char* file;
    int line;
};
#define EMULATE_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

[[noreturn]] void fail(const std::string& what);

// All lanes of `mask` arrive with a call of theirs; the last one's arrival lets complete(mask, calls) run, once.
void meet_warp(const Site& site, uint32_t mask, void* call, void (*complete)(uint32_t mask, void* const* calls));
void meet_block(const Site& site);

// The lanes of `mask` give an `In` each and get an `Out` each. op(mask, in, out) sees in[lane] and out[lane] of each of
// them; the other entries are null.
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

// One result for all lanes, folded from their values.
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

// width: the warp in parts of so many lanes; a lane that would look outside of its part sees itself.
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
