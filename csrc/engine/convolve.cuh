// Convolutions of one tile of positions, by one block of threads, from shared memory to whatever `emit` does with the
// results. A tile is kTiles times 16 positions (rows of the tensor cores' operand A); its channels lie in shared memory
// as int16 [rows][pitch]. Weights are read from global memory, that is from the second-level cache, each by one warp.
#pragma once

#include "base/warp.cuh"
#include "engine/mma.cuh"
#include "engine/nets.h"
#include "engine/nets_image.h"

namespace aec {

constexpr int kWarps = 8, kThreads = kWarps * kWarpSize;

// Rows half a bank apart: eight threads that read 16 bytes each, four beside each other and four a row below, meet all
// 32 banks once. channels: a multiple of 32.
AEC_HD int pitch_of(int channels) { return channels + (channels % 64 == 0 ? 32 : 0); }

// ------------------------------------------------------------------------------------------------------------ weights

// A tile is small, so fetching a layer's weights would take most of its time. A warp holds those of kChunk k steps in
// registers and fetches the next ones while it computes, across the end of a layer and the barrier that follows.
constexpr int kChunk = 4;
struct Fetched {
    Quad weights[kChunk][2];
};

__device__ inline void fetch(Fetched& fetched, const uint8_t* __restrict__ image, const Conv& conv, int pair, int k) {
    if (pair >= conv.pairs) return;
    const Quad* const from = reinterpret_cast<const Quad*>(image + conv.weights) +
                             (static_cast<size_t>(pair) * conv.k_steps + k) * 2 * kWarpSize + lane_index();
#pragma unroll
    for (int i = 0; i < kChunk; ++i)
        if (k + i < conv.k_steps) {
            fetched.weights[i][0] = from[(2 * i + 0) * kWarpSize];
            fetched.weights[i][1] = from[(2 * i + 1) * kWarpSize];
        }
}

// Before the first `convolve`: what each warp begins with.
__device__ inline void fetch_first(Fetched& fetched, const uint8_t* __restrict__ image, const Conv& conv) {
    fetch(fetched, image, conv, warp_index(), 0);
}

// ------------------------------------------------------------------------------------------------------ 1x1, all rows

struct Sums {  // of 16 rows and 8 columns, one thread's share; mma.cuh says of what
    int32_t high[4] = {}, middle[4] = {}, low[4] = {};

    __device__ int32_t total(int i, int32_t start) const {
        return static_cast<int32_t>((static_cast<uint32_t>(high[i]) << 16) + (static_cast<uint32_t>(middle[i]) << 8) +
                                    static_cast<uint32_t>(low[i]) + static_cast<uint32_t>(start));
    }
};

// int16 channels 8 * member + 0..7 of rows group and group + 8 -> operand A's high and low bytes.
__device__ inline void split(const int16_t* row, int pitch, uint32_t (&high)[4], uint32_t (&low)[4]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const Quad x = *reinterpret_cast<const Quad*>(row + half * 8 * pitch);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            low[2 * i + half] = __byte_perm(x.at[2 * i], x.at[2 * i + 1], 0x6420);
            high[2 * i + half] = __byte_perm(x.at[2 * i], x.at[2 * i + 1], 0x7531);
        }
    }
}

// emit(row, channel, a, b): the shifted sums of output channels `channel` (even) and channel + 1, not yet finished.
// fetched: the beginning of conv's weights; afterwards of next's. in: visible to all; emit must not write there.
template <int kTiles, class Emit>
__device__ void convolve(const uint8_t* __restrict__ image, const Conv& conv, const int16_t* in, int pitch,
                         Fetched& fetched, const Conv& next, const Emit& emit) {
    const int warp = warp_index(), group = lane_index() / 4, member = lane_index() % 4;
    const int16_t* const row = in + group * pitch + 8 * member;
    for (int pair = warp; pair < conv.pairs; pair += kWarps) {
        Constants constants[2][2];  // loaded now, needed at the end
#pragma unroll
        for (int tile = 0; tile < 2; ++tile) {
            const int channel = 16 * pair + 8 * tile + 2 * member;
            const Quad both = reinterpret_cast<const Quad*>(image + conv.constants)[channel / 2];
            constants[tile][0] = {static_cast<int32_t>(both.at[0]), static_cast<int32_t>(both.at[1])};
            constants[tile][1] = {static_cast<int32_t>(both.at[2]), static_cast<int32_t>(both.at[3])};
        }
        Sums sums[kTiles][2];
        for (int k = 0; k < conv.k_steps; k += kChunk) {
            const Fetched now = fetched;
            if (k + kChunk < conv.k_steps)
                fetch(fetched, image, conv, pair, k + kChunk);
            else if (pair + kWarps < conv.pairs)
                fetch(fetched, image, conv, pair + kWarps, 0);
            else
                fetch_first(fetched, image, next);
#pragma unroll
            for (int i = 0; i < kChunk; ++i) {
                if (k + i >= conv.k_steps) break;
#pragma unroll
                for (int t = 0; t < kTiles; ++t) {
                    uint32_t high[4], low[4];
                    split(row + t * kMmaRows * pitch + (k + i) * kMmaDepth, pitch, high, low);
#pragma unroll
                    for (int tile = 0; tile < 2; ++tile) {
                        const Quad& w = now.weights[i][tile];
                        const uint32_t w_high[2] = {w.at[0], w.at[1]}, w_low[2] = {w.at[2], w.at[3]};
                        mma<true, true>(sums[t][tile].high, high, w_high);
                        mma<true, false>(sums[t][tile].middle, high, w_low);
                        mma<false, false>(sums[t][tile].low, low, w_low);
                        mma<false, true>(sums[t][tile].middle, low, w_high);
                    }
                }
            }
        }
#pragma unroll
        for (int t = 0; t < kTiles; ++t)
#pragma unroll
            for (int tile = 0; tile < 2; ++tile)
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    const Constants(&c)[2] = constants[tile];
                    const Sums& s = sums[t][tile];
                    emit(t * kMmaRows + 8 * half + group, 16 * pair + 8 * tile + 2 * member,
                         s.total(2 * half, c[0].start) >> c[0].shift,
                         s.total(2 * half + 1, c[1].start) >> c[1].shift);
                }
    }
    if (warp >= conv.pairs) fetch_first(fetched, image, next);
}

// ------------------------------------------------------------------------------------------------------------- places

// A tile's positions: y << 16 | x, or kNowhere for rows beyond the last.
constexpr int kNowhere = -1;

// A plane of int16 channels in global memory, [height * width][channels], channels a multiple of 8.
struct DevicePlane {
    int16_t* data;
    int height, width, channels;

    __device__ int16_t* at(int place) const { return at(place >> 16, place & 0xFFFF); }
    __device__ int16_t* at(int y, int x) const { return data + (static_cast<size_t>(y) * width + x) * channels; }
};

struct Pair {
    int16_t first, second;
};

__device__ inline void store(int16_t* to, int16_t a, int16_t b) {
    *reinterpret_cast<Word*>(to) = static_cast<uint16_t>(a) | static_cast<uint32_t>(static_cast<uint16_t>(b)) << 16;
}
__device__ inline Pair load(const int16_t* from) {
    const Word both = *reinterpret_cast<const Word*>(from);
    return {static_cast<int16_t>(both & 0xFFFF), static_cast<int16_t>(both >> 16)};
}

__device__ inline Quad read(const DevicePlane& plane, int place, int eighth) {
    return place == kNowhere ? Quad() : *reinterpret_cast<const Quad*>(plane.at(place) + 8 * eighth);
}

// The first `channels` of a tile -> shared memory; zeros for rows that are nowhere.
template <int kTiles>
__device__ void gather(const DevicePlane& plane, int channels, const int* places, int16_t* to, int pitch) {
    constexpr int kAtOnce = 4;  // loads under way before the first is waited for
    const int eighths = channels / 8, n = kTiles * kMmaRows * eighths;
    for (int first = threadIdx.x; first < n; first += kAtOnce * kThreads) {
        Quad values[kAtOnce];
#pragma unroll
        for (int j = 0; j < kAtOnce; ++j) {
            const int i = first + j * kThreads, row = i / eighths;
            values[j] = i < n ? read(plane, places[row], i % eighths) : Quad();
        }
#pragma unroll
        for (int j = 0; j < kAtOnce; ++j) {
            const int i = first + j * kThreads;
            if (i < n) *reinterpret_cast<Quad*>(to + i / eighths * pitch + i % eighths * 8) = values[j];
        }
    }
}

__device__ inline int channel_of(const Quad& x, int i) {
    return static_cast<int16_t>(x.at[i / 2] >> (i % 2 * 16) & 0xFFFF);
}

// 3x3, each channel by itself, zeros beyond the plane -> shared memory; and `beside`, as it is, to beside_to.
template <int kTiles>
__device__ void convolve_space(const uint8_t* __restrict__ image, const BodyLayout& body, const DevicePlane& plane,
                               const DevicePlane& beside, const int* places, int16_t* to, int16_t* beside_to, int pitch) {
    const int eighths = plane.channels / 8;
    const Quad* const weights = reinterpret_cast<const Quad*>(image + body.space_weights);
    const Quad* const constants = reinterpret_cast<const Quad*>(image + body.space_constants);
    for (int i = threadIdx.x; i < kTiles * kMmaRows * eighths; i += kThreads) {
        const int row = i / eighths, eighth = i % eighths, place = places[row];
        const Quad copied = read(beside, place, eighth);
        int32_t sums[8], shifts[8];
#pragma unroll
        for (int c = 0; c < 8; c += 2) {
            const Quad both = constants[4 * eighth + c / 2];
            sums[c] = static_cast<int32_t>(both.at[0]), shifts[c] = static_cast<int32_t>(both.at[1]);
            sums[c + 1] = static_cast<int32_t>(both.at[2]), shifts[c + 1] = static_cast<int32_t>(both.at[3]);
        }
        if (place != kNowhere)
#pragma unroll
            for (int tap = 0; tap < 9; ++tap) {
                const int y = (place >> 16) + tap / 3 - 1, x = (place & 0xFFFF) + tap % 3 - 1;
                if (static_cast<unsigned>(y) >= static_cast<unsigned>(plane.height) ||
                    static_cast<unsigned>(x) >= static_cast<unsigned>(plane.width))
                    continue;
                const Quad values = *reinterpret_cast<const Quad*>(plane.at(y, x) + 8 * eighth);
                const Quad w = weights[tap * eighths + eighth];
#pragma unroll
                for (int c = 0; c < 8; ++c) sums[c] += channel_of(values, c) * channel_of(w, c);
            }
        *reinterpret_cast<Quad*>(beside_to + row * pitch + 8 * eighth) = copied;
#pragma unroll
        for (int c = 0; c < 8; c += 2)
            store(to + row * pitch + 8 * eighth + c, finish(sums[c], shifts[c], 0, false),
                  finish(sums[c + 1], shifts[c + 1], 0, false));
    }
}

}  // namespace aec
