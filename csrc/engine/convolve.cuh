// Convolutions of a tile of positions, by one block of threads. A tile has 16 * kTiles positions, which are the rows of
// the tensor cores' operand A. Its activations are in shared memory as int16 [positions][pitch]. Weights are loaded
// from global memory, in practice from the second-level cache; each weight is loaded by only one warp of the block.
#pragma once

#include "base/warp.cuh"
#include "engine/mma.cuh"
#include "engine/nets.h"
#include "engine/image.h"

namespace aec {

constexpr int kWarps = 8, kThreads = kWarps * kWarpSize;
constexpr size_t kMaxSharedBytes = 99 * 1024;  // a block's limit on the devices since sm_80 that have the least

// The distance of two rows in shared memory, in elements: an odd multiple of 32, that is of half the 128 bytes that the
// 32 banks span. So eight threads that load 16 bytes each, four of them neighbours in one row and four in the next, use
// each bank once. channels: a multiple of 32.
AEC_HD int pitch_of(int channels) { return channels + (channels % 64 == 0 ? 32 : 0); }

// ------------------------------------------------------------------------------------------------------------ weights

// A tile is so small that waiting for a layer's weights would take most of the time. So a warp holds the weights of
// kChunk k steps (32 input channels each) in registers, and loads the next ones while it computes. It does so across
// the end of a layer too, where it loads the first weights of the next layer before the barrier.
constexpr int kChunk = 4;
struct Fetched {
    Quad weights[kChunk][2];
};

__device__ inline void fetch(Fetched& fetched, const uint8_t* __restrict__ image, const Conv& conv, int pair, int k) {
    if (pair >= conv.pairs) return;
    const int step = conv.narrow ? kWarpSize : 2 * kWarpSize;
    const Quad* const from = reinterpret_cast<const Quad*>(image + conv.weights) +
                             (static_cast<size_t>(pair) * conv.k_steps + k) * step + lane_index();
#pragma unroll
    for (int i = 0; i < kChunk; ++i)
        if (k + i < conv.k_steps) {
            fetched.weights[i][0] = from[i * step];
            if (!conv.narrow) fetched.weights[i][1] = from[i * step + kWarpSize];
        }
}

// Loads the weights with which each warp begins a layer.
__device__ inline void fetch_first(Fetched& fetched, const uint8_t* __restrict__ image, const Conv& conv) {
    fetch(fetched, image, conv, warp_index(), 0);
}

// ------------------------------------------------------------------------------------------------------ 1x1, all rows

// One thread's accumulators for 16 positions and 8 output channels: the three sums of mma.cuh.
struct Sums {
    int32_t high[4] = {}, middle[4] = {}, low[4] = {};

    // Adds the products of activations x and weights w, each given by its high and its low bytes.
    __device__ void add(const uint32_t (&x_high)[4], const uint32_t (&x_low)[4], const uint32_t (&w_high)[2],
                        const uint32_t (&w_low)[2]) {
        mma<true, true>(high, x_high, w_high);
        mma<true, false>(middle, x_high, w_low);
        mma<false, false>(low, x_low, w_low);
        mma<false, true>(middle, x_low, w_high);
    }
    // The same for weights of 8 bits.
    __device__ void add(const uint32_t (&x_high)[4], const uint32_t (&x_low)[4], const uint32_t (&w)[2]) {
        mma<true, true>(middle, x_high, w);
        mma<false, true>(low, x_low, w);
    }
    // The sum of the products, after bias and shift.
    __device__ int32_t result(int i, const Constants& c) const {
        return static_cast<int32_t>((static_cast<uint32_t>(high[i]) << 16) + (static_cast<uint32_t>(middle[i]) << 8) +
                                    static_cast<uint32_t>(low[i]) + static_cast<uint32_t>(c.start)) >> c.shift;
    }
};

// Loads a thread's share of operand A: the 8 channels at `row`, and the same channels 8 rows below; split into high and
// low bytes.
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

// A 1x1 convolution of all positions of the tile. For each position and each pair of output channels one thread calls
// emit(row, channel, a, b), where `channel` is even and a and b are the results of `channel` and channel + 1: those of
// Sums, before anything is added and saturated, or of another class of accumulators. in: shared memory that all threads
// can see (after a barrier), to which emit must not write. fetched: holds the first weights of `conv`, and on return
// those of `next`.
template <int kTiles, class Accumulators = Sums, class Emit>
__device__ void convolve(const uint8_t* __restrict__ image, const Conv& conv, const int16_t* in, int pitch,
                         Fetched& fetched, const Conv& next, const Emit& emit) {
    const int warp = warp_index(), group = lane_index() / 4, member = lane_index() % 4;
    const int16_t* const row = in + group * pitch + 8 * member;
    for (int pair = warp; pair < conv.pairs; pair += kWarps) {
        Constants constants[2][2];  // loaded before the products, so that they have arrived when they are needed
#pragma unroll
        for (int tile = 0; tile < 2; ++tile) {
            const int channel = 16 * pair + 8 * tile + 2 * member;
            const Quad both = reinterpret_cast<const Quad*>(image + conv.constants)[channel / 2];
            constants[tile][0] = {static_cast<int32_t>(both.at[0]), static_cast<int32_t>(both.at[1])};
            constants[tile][1] = {static_cast<int32_t>(both.at[2]), static_cast<int32_t>(both.at[3])};
        }
        Accumulators sums[kTiles][2];
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
                        const Quad &both = now.weights[i][0], &w = now.weights[i][tile];
                        const uint32_t narrow[2] = {both.at[2 * tile], both.at[2 * tile + 1]};
                        const uint32_t w_high[2] = {w.at[0], w.at[1]}, w_low[2] = {w.at[2], w.at[3]};
                        if (conv.narrow)
                            sums[t][tile].add(high, low, narrow);
                        else
                            sums[t][tile].add(high, low, w_high, w_low);
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
                    const Accumulators& s = sums[t][tile];
                    emit(t * kMmaRows + 8 * half + group, 16 * pair + 8 * tile + 2 * member, s.result(2 * half, c[0]),
                         s.result(2 * half + 1, c[1]));
                }
    }
    if (warp >= conv.pairs) fetch_first(fetched, image, next);
}

// ------------------------------------------------------------------------------------------------------------- places

// A place is a position of a tile as one number, y << 16 | x, or kNowhere for a row of the tile that has no position.
constexpr int kNowhere = -1;
__device__ inline int place_at(int y, int x) { return y << 16 | x; }
__device__ inline int y_of(int place) { return place >> 16; }
__device__ inline int x_of(int place) { return place & 0xFFFF; }
// The place (2y + i, 2x + j) in a plane of twice the resolution. quarter: 2i + j.
__device__ inline int finer(int place, int quarter) { return 2 * place + place_at(quarter >> 1, quarter & 1); }

// A rectangle of a feature map in global memory, int16 [height][width][channels], whose first position is (y0, x0).
// channels is a multiple of 8.
struct DevicePlane {
    int16_t* data;
    int height, width, channels;
    int y0 = 0, x0 = 0;

    __device__ bool has(int y, int x) const {
        return static_cast<unsigned>(y - y0) < static_cast<unsigned>(height) &&
               static_cast<unsigned>(x - x0) < static_cast<unsigned>(width);
    }
    __device__ int16_t* at(int place) const { return at(y_of(place), x_of(place)); }
    __device__ int16_t* at(int y, int x) const {
        return data + (static_cast<size_t>(y - y0) * width + (x - x0)) * channels;
    }
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

// Loads channels 8 * eighth + 0..7 of a position; 0 if there is none.
__device__ inline Quad read(const DevicePlane& plane, int place, int eighth) {
    return place == kNowhere ? Quad() : *reinterpret_cast<const Quad*>(plane.at(place) + 8 * eighth);
}

// Copies the first `channels` channels of a tile's positions to shared memory; rows without a position become 0. With
// corners = 4, of four positions of a plane of twice the resolution for each of the tile: [corners][channels].
template <int kTiles>
__device__ void gather(const DevicePlane& plane, int channels, int corners, const int* places, int16_t* to, int pitch) {
    constexpr int kAtOnce = 4;  // loads that a thread issues before it waits for the first of them
    const int each = channels / 8, eighths = corners * each, n = kTiles * kMmaRows * eighths;
    const auto value = [&](int place, int eighth) {
        if (corners == 1 || place == kNowhere) return read(plane, place, eighth);
        return read(plane, finer(place, eighth / each), eighth % each);
    };
    for (int first = threadIdx.x; first < n; first += kAtOnce * kThreads) {
        Quad values[kAtOnce];
#pragma unroll
        for (int j = 0; j < kAtOnce; ++j) {
            const int i = first + j * kThreads, row = i / eighths;
            values[j] = i < n ? value(places[row], i % eighths) : Quad();
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

// Writes the 3x3 depthwise convolution of `plane`, with zeros around it, to `to`; and copies `beside`, a plane with as
// many channels, to beside_to. Both targets are in shared memory. The copy is done here so that its loads overlap the
// arithmetic.
template <int kTiles>
__device__ void convolve_space(const uint8_t* __restrict__ image, const SpaceConv& conv, const DevicePlane& plane,
                               const DevicePlane& beside, const int* places, int16_t* to, int16_t* beside_to, int pitch) {
    const int eighths = plane.channels / 8;
    const Quad* const weights = reinterpret_cast<const Quad*>(image + conv.weights);
    const Quad* const constants = reinterpret_cast<const Quad*>(image + conv.constants);
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
                const int y = y_of(place) + tap / 3 - 1, x = x_of(place) + tap % 3 - 1;
                if (!plane.has(y, x)) continue;
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
