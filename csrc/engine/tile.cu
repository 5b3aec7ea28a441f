#include "engine/tile.cuh"

#include "base/cuda_check.h"

namespace aec {
namespace {

// --------------------------------------------------------------------------------------------------------------- tiles

// Positions are divided into classes, and each class into tiles of `rows` positions. With phases there are four classes,
// by the parity of row and column, so that all positions of a tile have the same phase; else there is one.
int64_t tile_count(const TileProgram& program, int rows) {
    const auto tiles = [&](int64_t height, int64_t width) { return (height * width + rows - 1) / rows; };
    if (program.steps == 0) return tiles(program.height, program.width);
    int64_t n = 0;
    for (int parity = 0; parity < 4; ++parity)
        n += tiles(parity_count(program.height, parity >> 1), parity_count(program.width, parity & 1));
    return n;
}

// Which tile a block computes.
struct TileRank {
    int step;           // between neighbouring rows or columns of the class: 1, or 2 if there are four classes
    int y, x;           // the first row and column of the class
    int height, width;  // the number of its rows and columns
    int n;              // the number of the tile among those of that class
};

__device__ TileRank find_tile(const TileProgram& program, int rows) {
    int n = blockIdx.x;
    if (program.steps == 0) return {1, 0, 0, program.height, program.width, n};
    for (int parity = 0;; ++parity) {
        const int y = parity >> 1, x = parity & 1;
        const int height = parity_count(program.height, y), width = parity_count(program.width, x);
        const int tiles = (height * width + rows - 1) / rows;
        if (n < tiles) return {2, y, x, height, width, n};
        n -= tiles;
    }
}

// The place (convolve.cuh) of row `row` of a tile.
__device__ int place_of(const TileProgram& program, const TileRank& tile, int rows, int row) {
    const int rank = tile.n * rows + row, i = rank / tile.width;
    if (i >= tile.height) return kNowhere;
    return place_at(program.y0 + tile.y + tile.step * i, program.x0 + tile.x + tile.step * (rank % tile.width));
}

// Shared memory of a block: the place and the row in tables of qualities of each position, and the regions.
size_t shared_bytes(const TileProgram& program, int rows) {
    return rows * (2 * sizeof(int) + program.pitch * sizeof(int16_t));
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
                       rank_of(heads.steps, phase, width, y_of(place), x_of(place));
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
    const TileRank tile = find_tile(program, kRows);
    const int phase = phase_of(tile.y, tile.x, program.steps);  // not used if program.steps is 0
    const int variant = program.steps ? phase : program.quarters ? blockIdx.y : 0;
    Fetched fetched;
    fetch_first(fetched, program.image, variant_of(program.layers[0].conv, variant));

    int* const places = shared_memory<int>();
    int* const quality_rows = places + kRows;
    int16_t* const channels = reinterpret_cast<int16_t*>(quality_rows + kRows);
    const auto start_of = [&](const Region& region) { return channels + kRows * region.before; };
    if (threadIdx.x < kRows) {
        const int place = place_of(program, tile, kRows, threadIdx.x);
        places[threadIdx.x] = place;
        quality_rows[threadIdx.x] = place == kNowhere ? 0 : program.qualities.at(y_of(place), x_of(place)) - 1;
    }
    __syncthreads();
    if (program.s.data)
        convolve_space<kTiles>(program.image, program.space, program.s, program.t, places, start_of(program.s_to),
                               start_of(program.t_to), program.s_to.pitch);
#pragma unroll 1
    for (const TileProgram::Source& source : program.sources)
        if (source.plane.data)
            gather<kTiles>(source.plane, source.channels, source.corners, places, start_of(source.to), source.to.pitch);

#pragma unroll 1
    for (int i = 0; i < program.n_layers; ++i) {
        const Layer& layer = program.layers[i];
        const Conv next = i + 1 < program.n_layers ? variant_of(program.layers[i + 1].conv, variant) : Conv();
        int16_t* const out = start_of(layer.out);
        const int16_t* const vector = layer.vector ? layer.vector + variant * layer.vector_stride : nullptr;
        const int vector_channels = 2 * kMmaColumns * layer.conv.pairs;
        const int quarter = program.quarters ? variant : layer.quarter;
        __syncthreads();
        convolve<kTiles>(
            program.image, variant_of(layer.conv, variant), start_of(layer.in), layer.in.pitch, fetched, next,
            [&](int row, int channel, int32_t x, int32_t y) {
                int16_t* const here = out + row * layer.out.pitch + channel;
                if (vector) {
                    const Pair q = load(vector + quality_rows[row] * vector_channels + channel);
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
                if (layer.memory.data)
                    store(layer.memory.at(quarter == kSamePlace ? place : finer(place, quarter)) + channel, a, b);
                if (layer.is_heads) {
                    store_head(program.heads, phase, program.height, program.width, place, channel, a);
                    store_head(program.heads, phase, program.height, program.width, place, channel + 1, b);
                }
            });
    }
}

// ------------------------------------------------------------------------------------------------------------ launches

template <int kTiles>
bool launch(const TileProgram& program, Launch where) {
    constexpr int kRows = kTiles * kMmaRows;
    const size_t bytes = shared_bytes(program, kRows);
    if (bytes > kMaxSharedBytes) return false;
    const dim3 grid(static_cast<unsigned>(tile_count(program, kRows)), program.quarters ? 4 : 1);
    run_kernel(tile_kernel<kTiles>, grid, dim3(kThreads), bytes, where, program);
    return true;
}

}  // namespace

bool fits(const TileProgram& program) { return shared_bytes(program, kMmaRows) <= kMaxSharedBytes; }

void run_tiles(const TileProgram& program, int64_t large, Launch where) {
    const int64_t positions = static_cast<int64_t>(program.height) * program.width;
    if (positions > 4 * large && launch<4>(program, where)) return;
    if (positions > large && launch<2>(program, where)) return;
    if (!launch<1>(program, where)) throw std::invalid_argument("a network is too wide for shared memory");
}

}  // namespace aec
