// Indexes within a warp and the block's dynamic shared memory, for all kernels.
#pragma once

#include "base/portable.h"

namespace aec {

constexpr int kWarpSize = 32;
constexpr uint32_t kWarp = 0xFFFFFFFF;  // the mask of all lanes

// These assume one-dimensional blocks whose size is a multiple of 32.
__device__ inline uint32_t lane_index() { return threadIdx.x % kWarpSize; }
__device__ inline uint32_t warp_index() { return threadIdx.x / kWarpSize; }
__device__ inline uint32_t lanes_below() { return (1u << lane_index()) - 1; }

// The block's dynamic shared memory; its size is given at the launch.
template <class T>
__device__ T* shared_memory() {
    extern __shared__ uint4 dynamic_shared[];
    return reinterpret_cast<T*>(dynamic_shared);
}

}  // namespace aec
