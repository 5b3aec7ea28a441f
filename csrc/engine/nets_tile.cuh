// A kernel in which each block of threads runs a chain of layers on one tile of positions. Which layers is described by
// data (TileProgram).
//
// There is one kernel that loops over the layers, and not a kernel with the layers written out for each chain, because
// of the instruction cache: on a small tile the code of a layer runs only once or twice, so with code of its own for
// each layer, loading the instructions would take longer than executing them.
#pragma once

#include "engine/convolve.cuh"
#include "engine/segment.h"

namespace aec {

// A feature map of a tile in shared memory, int16 [rows][pitch]. It begins after rows * before elements, so `before` is
// the sum of the pitches of the regions that lie before it.
struct Region {
    int before = 0, pitch = 0;
};

// A 1x1 convolution and what follows it: the result is finish(conv(in), added), where `added` is vector + out. The
// vector, the old content of `out` and the leaky ReLU are each optional.
struct Layer {
    Conv conv;
    Region in, out;
    bool adds_vector = false, adds_to_out = false, is_leaky = false;
    bool stays = false;    // whether the result is written to `out` in shared memory
    DevicePlane memory = {};     // the plane in global memory to which the result is also written, if any
    bool is_heads = false; // whether the result are means and index heads, which are written as TileProgram::heads says
};

struct Heads {  // where the means and indexes of context step k are stored: [segment_size] each
    int steps, k, group_size;
    int16_t* means;
    uint8_t* indexes;
};

constexpr int kMaxLayers = 6;

struct TileProgram {
    int height, width;  // of the plane that is divided into tiles
    int steps;          // 2 or 4: the variant of a convolution is the tile's phase; 0: it is blockIdx.y, the quarter of
                        // an upsampling that the block computes
    const uint8_t* image;
    const int16_t* vector;  // [vector_channels], the row of a quality table; null: none
    int vector_channels;
    int64_t vector_stride;  // elements from the row for one variant to that for the next
    int pitch;              // the sum of the pitches of all regions

    // Before the first layer, either planes are copied to shared memory ...
    struct Source {
        DevicePlane plane = {};
        int channels = 0;
        Region to;
    } sources[2];
    // ... or, in the middle of a Block of FORMAT §8, plane t is copied and the depthwise convolution space(s) is
    // computed.
    BodyLayout body;
    DevicePlane t = {}, s = {};
    Region t_to, s_to;

    int n_layers = 0;
    Layer layers[kMaxLayers];
    Heads heads = {};
};

// --------------------------------------------------------------------------------------------------------------- tiles

// The number of tiles. Positions are divided into four classes by the parity of their row and column, and each class is
// divided into tiles of `rows` positions. So all positions of a tile have the same phase.
inline int64_t tile_count(int height, int width, int rows) {
    int64_t n = 0;
    for (int parity = 0; parity < 4; ++parity)
        n += (static_cast<int64_t>(parity_count(height, parity >> 1)) * parity_count(width, parity & 1) + rows - 1) /
             rows;
    return n;
}

// Which tile a block computes.
struct TileRank {
    int y, x;  // parity of the row and of the column of its positions
    int n;     // its number among the tiles of that class
};

__device__ inline TileRank find_tile(int height, int width, int rows) {
    int n = blockIdx.x;
    for (int parity = 0;; ++parity) {
        const int y = parity >> 1, x = parity & 1;
        const int tiles = (parity_count(height, y) * parity_count(width, x) + rows - 1) / rows;
        if (n < tiles) return {y, x, n};
        n -= tiles;
    }
}

// The place (convolve.cuh) of row `row` of a tile.
__device__ inline int place_of(const TileRank& tile, int height, int width, int rows, int row) {
    const int rank = tile.n * rows + row, columns = parity_count(width, tile.x), y = 2 * (rank / columns) + tile.y;
    return y < height ? y << 16 | (2 * (rank % columns) + tile.x) : kNowhere;
}

// Shared memory of a block: the places, the regions and the vector.
inline size_t shared_bytes(int rows, int vector_channels, int pitch) {
    return rows * (sizeof(int) + pitch * sizeof(int16_t)) + vector_channels * sizeof(int16_t);
}

// ------------------------------------------------------------------------------------------------------------- results

// Stores the result of a heads layer: channels 0 .. group_size - 1 are means, the next group_size are index heads, and
// the others are padding.
__device__ inline void store_head(const Heads& heads, int phase, int height, int width, int place, int channel,
                                  int16_t value) {
    const int index = channel - heads.group_size;
    if (index >= heads.group_size) return;
    const int64_t at = channel_start(heads.steps, heads.k, heads.k ^ phase, height, width) +
                       static_cast<int64_t>(index < 0 ? channel : index) * height * width +
                       rank_of(heads.steps, phase, width, place >> 16, place & 0xFFFF);
    if (index < 0)
        heads.means[at] = value;
    else
        heads.indexes[at] = index_of(value);
}

template <int kTiles>
// Without __grid_constant__ the compiler would copy `program` to local memory of each thread, because its arrays are
// indexed by variables.
__global__ void __launch_bounds__(kThreads) tile_kernel(const __grid_constant__ TileProgram program) {
    constexpr int kRows = kTiles * kMmaRows;
    const TileRank tile = find_tile(program.height, program.width, kRows);
    const int phase = phase_of(tile.y, tile.x, program.steps);  // not used if program.steps is 0
    const int variant = program.steps ? phase : blockIdx.y;
    Fetched fetched;
    fetch_first(fetched, program.image, variant_of(program.layers[0].conv, variant));

    int* const places = shared_memory<int>();
    int16_t* const vector = reinterpret_cast<int16_t*>(places + kRows);
    int16_t* const channels = vector + program.vector_channels;
    const auto start_of = [&](const Region& region) { return channels + kRows * region.before; };
    if (threadIdx.x < kRows) places[threadIdx.x] = place_of(tile, program.height, program.width, kRows, threadIdx.x);
    for (int i = threadIdx.x; i < program.vector_channels / 8; i += kThreads)
        reinterpret_cast<Quad*>(vector)[i] =
            reinterpret_cast<const Quad*>(program.vector + variant * program.vector_stride)[i];
    __syncthreads();
    if (program.s.data)
        convolve_space<kTiles>(program.image, program.body, program.s, program.t, places, start_of(program.s_to),
                               start_of(program.t_to), program.s_to.pitch);
#pragma unroll 1
    for (const TileProgram::Source& source : program.sources)
        if (source.plane.data)
            gather<kTiles>(source.plane, source.channels, places, start_of(source.to), source.to.pitch);

#pragma unroll 1
    for (int i = 0; i < program.n_layers; ++i) {
        const Layer& layer = program.layers[i];
        const Conv next = i + 1 < program.n_layers ? variant_of(program.layers[i + 1].conv, variant) : Conv();
        int16_t* const out = start_of(layer.out);
        __syncthreads();
        convolve<kTiles>(
            program.image, variant_of(layer.conv, variant), start_of(layer.in), layer.in.pitch, fetched, next,
            [&](int row, int channel, int32_t x, int32_t y) {
                int16_t* const here = out + row * layer.out.pitch + channel;
                if (layer.adds_vector) {
                    const Pair q = load(vector + channel);
                    x += q.first, y += q.second;
                }
                if (layer.adds_to_out) {
                    const Pair before = load(here);
                    x += before.first, y += before.second;
                }
                const int16_t a = finish(x, 0, 0, layer.is_leaky), b = finish(y, 0, 0, layer.is_leaky);
                if (layer.stays) store(here, a, b);
                const int place = places[row];
                if (place == kNowhere) return;
                if (layer.memory.data) {
                    const int quarter = (variant >> 1) << 16 | (variant & 1);
                    store(layer.memory.at(program.steps ? place : 2 * place + quarter) + channel, a, b);
                }
                if (layer.is_heads) {
                    store_head(program.heads, phase, program.height, program.width, place, channel, a);
                    store_head(program.heads, phase, program.height, program.width, place, channel + 1, b);
                }
            });
    }
}

}  // namespace aec
