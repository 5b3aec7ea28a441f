// What every kernel needs: a warp's lanes and the block's shared memory.
#pragma once

#include "base/portable.h"

namespace aec {

constexpr int kWarpSize = 32;
constexpr uint32_t kWarp = 0xFFFFFFFF;  // the mask of all lanes

// Blocks are one-dimensional and whole warps.
__device__ inline uint32_t lane_index() { return threadIdx.x % kWarpSize; }
__device__ inline uint32_t warp_index() { return threadIdx.x / kWarpSize; }
__device__ inline uint32_t lanes_below() { return (1u << lane_index()) - 1; }

// Dynamic shared memory: its size is the launcher's business.
template <class T>
__device__ T* shared_memory() {
    extern __shared__ uint4 dynamic_shared[];
    return reinterpret_cast<T*>(dynamic_shared);
}

}  // namespace aec
