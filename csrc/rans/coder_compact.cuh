// Kernels that gather the symbols whose index is not 0, and scatter them back (FORMAT §6). One launch handles all
// segments of a batch: the symbols that are kept stay in their order, so the start of each segment among them is found
// by counting.
//
// A block handles kChunk symbols, and each of its threads kItems neighbouring ones. count_kernel counts the symbols
// that each block keeps. In the other kernels each block then adds up the counts of all blocks before it, which saves a
// kernel that computes prefix sums. The counts of a tile take a few kilobytes and stay in the cache. For a batch of 64
// M symbols a block reads 32 KB of counts on average, from the second-level cache, and all blocks together 0.5 GB.
#pragma once

#include <cstring>

#include "base/warp.cuh"
#include "rans/coder_cuda.h"

namespace aec {

constexpr int kCompactThreads = 256, kItems = 16, kChunk = kCompactThreads * kItems;
constexpr int kCompactWarps = kCompactThreads / kWarpSize;

// Loads the elements first .. first + 15 of an array of n; those beyond its end become 0.
template <class T>
__device__ void load_items(const T* from, uint32_t first, uint32_t n, T (&items)[kItems]) {
    if (first + kItems <= n && reinterpret_cast<uintptr_t>(from + first) % sizeof(uint4) == 0) {
        for (size_t i = 0; i < sizeof(T); ++i) {
            const uint4 part = reinterpret_cast<const uint4*>(from + first)[i];
            memcpy(reinterpret_cast<char*>(items) + i * sizeof part, &part, sizeof part);
        }
        return;
    }
    for (int i = 0; i < kItems; ++i) items[i] = first + i < n ? from[first + i] : T(0);
}

template <class T>
__device__ void store_items(T* to, uint32_t first, uint32_t n, const T (&items)[kItems]) {
    if (first + kItems <= n && reinterpret_cast<uintptr_t>(to + first) % sizeof(uint4) == 0) {
        for (size_t i = 0; i < sizeof(T); ++i) {
            uint4 part;
            memcpy(&part, reinterpret_cast<const char*>(items) + i * sizeof part, sizeof part);
            reinterpret_cast<uint4*>(to + first)[i] = part;
        }
        return;
    }
    for (int i = 0; i < kItems; ++i)
        if (first + i < n) to[first + i] = items[i];
}

__device__ inline uint32_t coded_mask(const uint8_t (&indexes)[kItems]) {
    uint32_t mask = 0;
    for (int i = 0; i < kItems; ++i) mask |= static_cast<uint32_t>(indexes[i] != 0) << i;
    return mask;
}

// The sum of `value` over all threads of the block; every thread gets it. shared_warps: [kCompactWarps], shared memory.
__device__ inline uint32_t block_sum(uint32_t value, uint32_t* shared_warps) {
    value = __reduce_add_sync(kWarp, value);
    __syncthreads();  // all threads have read what an earlier call left in shared_warps
    if (lane_index() == 0) shared_warps[warp_index()] = value;
    __syncthreads();
    uint32_t sum = 0;
    for (int w = 0; w < kCompactWarps; ++w) sum += shared_warps[w];
    return sum;
}

// How many symbols are kept by the threads of the block before this one, and by all threads of the block.
struct Rank {
    uint32_t before, total;
};
__device__ inline Rank rank_in_block(uint32_t mask, uint32_t* shared_warps) {
    const uint32_t count = __popc(mask);
    uint32_t up_to_here = count;
    for (int delta = 1; delta < kWarpSize; delta *= 2) {
        const uint32_t other = __shfl_up_sync(kWarp, up_to_here, delta);
        if (lane_index() >= static_cast<uint32_t>(delta)) up_to_here += other;
    }
    __syncthreads();
    if (lane_index() == kWarpSize - 1) shared_warps[warp_index()] = up_to_here;
    __syncthreads();
    Rank rank = {up_to_here - count, 0};
    for (uint32_t w = 0; w < kCompactWarps; ++w) {
        if (w < warp_index()) rank.before += shared_warps[w];
        rank.total += shared_warps[w];
    }
    return rank;
}

__device__ inline uint32_t coded_before_block(const uint32_t* counts, uint32_t* shared_warps) {
    uint32_t sum = 0;
    for (uint32_t i = threadIdx.x; i < blockIdx.x; i += kCompactThreads) sum += counts[i];
    return block_sum(sum, shared_warps);
}

__device__ inline bool is_wrong(uint32_t index, int symbol) {
    return index >= kIndexCount || symbol > kMaxSymbol || symbol < -kMaxSymbol || (index == 0 && symbol != 0);
}

// Counts the symbols that each block keeps, and records the first symbol or index that is not allowed. counts:
// [blocks]. symbols: null for a decoder.
__global__ void __launch_bounds__(kCompactThreads)
    count_kernel(const uint8_t* indexes, const int16_t* symbols, uint32_t n, uint32_t segment, uint32_t* counts,
                 ArgumentFault* fault) {
    __shared__ uint32_t shared_warps[kCompactWarps];
    const uint32_t first = blockIdx.x * kChunk + threadIdx.x * kItems;
    uint8_t index[kItems];
    int16_t symbol[kItems] = {};
    load_items(indexes, first, n, index);
    if (symbols) load_items(symbols, first, n, symbol);
    for (int i = kItems - 1; i >= 0; --i)
        if (is_wrong(index[i], symbol[i])) atomicMin(fault, argument_fault(segment, first + i, index[i]));
    const uint32_t count = block_sum(__popc(coded_mask(index)), shared_warps);
    if (threadIdx.x == 0) counts[blockIdx.x] = count;
}

// Gathers the symbols and indexes that are kept. A block first collects them in shared memory, so that its stores to
// global memory are coalesced. firsts: [n_parts + 1], the positions at which the parts of the input start, then n; null
// stands for one part. kept_firsts: [n_parts + 1], the same positions among the symbols that are kept.
__global__ void __launch_bounds__(kCompactThreads)
    gather_kernel(const uint8_t* indexes, const int16_t* symbols, uint32_t n, const uint32_t* counts,
                  const uint32_t* firsts, uint32_t n_parts, uint8_t* kept_indexes, int16_t* kept_symbols,
                  uint32_t* kept_firsts) {
    __shared__ uint32_t shared_warps[kCompactWarps];
    __shared__ uint32_t before[kCompactThreads], masks[kCompactThreads];
    __shared__ uint8_t shared_indexes[kChunk];
    __shared__ int16_t shared_symbols[kChunk];
    const uint32_t chunk = blockIdx.x * kChunk, first = chunk + threadIdx.x * kItems;
    uint8_t index[kItems];
    int16_t symbol[kItems] = {};
    load_items(indexes, first, n, index);
    if (symbols) load_items(symbols, first, n, symbol);
    const uint32_t mask = coded_mask(index), base = coded_before_block(counts, shared_warps);
    const Rank rank = rank_in_block(mask, shared_warps);
    before[threadIdx.x] = rank.before;
    masks[threadIdx.x] = mask;
    uint32_t place = rank.before;
    for (int i = 0; i < kItems; ++i)
        if (mask >> i & 1) {
            shared_indexes[place] = index[i] % kIndexCount;  // a wrong index must not read outside of the tables
            if (symbols) shared_symbols[place] = symbol[i];
            ++place;
        }
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < rank.total; i += kCompactThreads) {
        kept_indexes[base + i] = shared_indexes[i];
        if (symbols) kept_symbols[base + i] = shared_symbols[i];
    }

    // Each block writes kept_firsts for the parts that start in its chunk. The last block also writes it for empty
    // parts that start at n, and for the end.
    const bool is_last = blockIdx.x + 1 == gridDim.x;
    const auto first_of = [&](uint32_t part) { return firsts ? firsts[part] : part * n; };
    uint32_t low = 0, high = n_parts + 1;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (first_of(middle) < chunk) low = middle + 1;
        else high = middle;
    }
    for (uint32_t part = low + threadIdx.x; part <= n_parts; part += kCompactThreads) {
        const uint32_t at = first_of(part) - chunk, thread = at / kItems;
        if (at >= kChunk && !is_last) break;
        kept_firsts[part] =
            base + (at >= kChunk ? rank.total : before[thread] + __popc(masks[thread] & ((1u << at % kItems) - 1)));
    }
}

// The inverse of gather_kernel: writes each symbol to its position, and 0 where the index is 0.
__global__ void __launch_bounds__(kCompactThreads)
    scatter_kernel(const uint8_t* indexes, uint32_t n, const uint32_t* counts, const int16_t* kept_symbols,
                   int16_t* symbols) {
    __shared__ uint32_t shared_warps[kCompactWarps];
    __shared__ int16_t shared_symbols[kChunk];
    const uint32_t first = blockIdx.x * kChunk + threadIdx.x * kItems;
    uint8_t index[kItems];
    int16_t symbol[kItems];
    load_items(indexes, first, n, index);
    const uint32_t mask = coded_mask(index), base = coded_before_block(counts, shared_warps);
    const Rank rank = rank_in_block(mask, shared_warps);
    for (uint32_t i = threadIdx.x; i < rank.total; i += kCompactThreads) shared_symbols[i] = kept_symbols[base + i];
    __syncthreads();
    uint32_t place = rank.before;
    for (int i = 0; i < kItems; ++i) symbol[i] = mask >> i & 1 ? shared_symbols[place++] : int16_t{0};
    store_items(symbols, first, n, symbol);
}

}  // namespace aec
