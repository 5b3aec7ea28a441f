// READ ME FIRST
//  1. What limits these nets at the size of a photo is not arithmetic but latency: some 50 layers one after the other. So a
//     block of threads takes a tile of positions and runs as many layers on it as it can without leaving shared memory.
//     Only a 3x3 convolution needs other tiles' results; there one kernel ends and the next begins.
//  2. So kernels are cut in the middle of a Block (FORMAT §8): one writes t, the Block's input, and s =
//     Leaky(space_in(t)); the next goes on with space(s). The chain of a tile of latents:
//       hyper_kernel     head                                              | begin body4
//       upsample_kernel  end body4, up2, Shuffle                           | begin body2
//       upsample_kernel  end body2, up1, Shuffle                           | begin body1
//       prior_kernel     end body1; from_hyper of the first context step   | begin its body
//       heads_kernel     end body, mean, index
//     and for each further step context_kernel (from_hyper, from_latents | begin body) and heads_kernel.
//  3. A tile's positions all have the same phase, so that in each step they ask the same 1 / steps of the heads, and have
//     read the same channels of the latents. A position's latents lie in memory in the order of steps (PackedPhase).
//  4. What decides a byte is in nets.h; convolve.cuh proves its sums exact.
#include "nets_cuda.h"

#include <algorithm>

#include "convolve.cuh"
#include "cuda_check.h"
#include "segment.h"

namespace aec {
namespace {

// --------------------------------------------------------------------------------------------------------------- tiles

// Of the four classes of positions in 2x2 squares, one after the other, each in whole tiles.
int64_t tile_count(int height, int width, int rows) {
    int64_t n = 0;
    for (int parity = 0; parity < 4; ++parity)
        n += (static_cast<int64_t>(parity_count(height, parity >> 1)) * parity_count(width, parity & 1) + rows - 1) / rows;
    return n;
}

// A block's tile in shared memory: its positions, a quality's vector, and two regions for channels.
template <int kTiles>
struct Tile {
    static constexpr int kRows = kTiles * kMmaRows;
    int* places;
    int16_t *vector, *x, *wide;
    int parity;  // which class

    // What this writes is there after the next barrier.
    __device__ Tile(int height, int width, int vector_channels, int x_pitch) {
        places = shared_memory<int>();
        vector = reinterpret_cast<int16_t*>(places + kRows);
        x = vector + vector_channels;
        wide = x + kRows * x_pitch;
        int tile = blockIdx.x, size = 0;
        for (parity = 0;; ++parity) {
            size = parity_count(height, parity >> 1) * parity_count(width, parity & 1);
            const int tiles = (size + kRows - 1) / kRows;
            if (tile < tiles) break;
            tile -= tiles;
        }
        if (threadIdx.x < kRows) {
            const int rank = tile * kRows + threadIdx.x, columns = parity_count(width, parity & 1);
            const int row = 2 * (rank / columns) + (parity >> 1), column = 2 * (rank % columns) + (parity & 1);
            places[threadIdx.x] = rank < size ? row << 16 | column : kNowhere;
        }
    }
    __device__ void set_vector(const int16_t* from, int channels) const {
        for (int i = threadIdx.x; i < channels / 8; i += kThreads)
            reinterpret_cast<Quad*>(vector)[i] = reinterpret_cast<const Quad*>(from)[i];
    }
    __device__ int phase(int steps) const { return phase_of(parity >> 1, parity & 1, steps); }
};

size_t shared_bytes(int rows, int vector_channels, int x_pitch, int wide_pitch) {
    return rows * (sizeof(int) + (x_pitch + wide_pitch) * sizeof(int16_t)) + vector_channels * sizeof(int16_t);
}

// -------------------------------------------------------------------------------------------------------------- blocks

struct Begun {  // a Block of which the first convolution is done
    Plane t, s;
};

struct Same {
    __device__ int operator()(int place) const { return place; }
};

// Of t: to the next layer, in tile.wide, and to the next kernel, at where(place).
template <int kTiles, class Where>
__device__ void store_both(const Tile<kTiles>& tile, int row, int channel, int16_t a, int16_t b, const Plane& t,
                           const Where& where) {
    store(tile.wide + row * pitch_of(t.channels) + channel, a, b);
    if (tile.places[row] != kNowhere) store(t.at(where(tile.places[row])) + channel, a, b);
}

// tile.wide, [rows][pitch_of(channels)], holds t, and so does begun.t, or will: -> begun.s. fetched: space_in's.
template <int kTiles, class Where>
__device__ void begin_body(const uint8_t* __restrict__ image, const Conv& space_in, const Tile<kTiles>& tile,
                           Fetched& fetched, const Begun& begun, const Where& where) {
    __syncthreads();
    convolve<kTiles>(image, space_in, tile.wide, pitch_of(begun.s.channels), fetched, Conv(),
                     [&](int row, int channel, int16_t a, int16_t b) {
                         if (tile.places[row] != kNowhere)
                             store(begun.s.at(where(tile.places[row])) + channel, leaky(a), leaky(b));
                     });
}

// -> tile.x, ready to be read. fetched: space_out's; afterwards next's.
template <int kTiles>
__device__ void end_body(const uint8_t* __restrict__ image, const BodyLayout& body, const Begun& begun,
                         const Tile<kTiles>& tile, Fetched& fetched, const Conv& next) {
    const int width = begun.t.channels, pitch = pitch_of(width);
    const int wide_pitch = pitch_of(body.mix_out.k_steps * kMmaDepth);
    const auto add_to_x = [&](int row, int channel, int16_t a, int16_t b) {
        int16_t* const x = tile.x + row * pitch + channel;
        const Pair before = load(x);
        store(x, add(before.first, a), add(before.second, b));
    };
    convolve_space<kTiles>(image, body, begun.s, begun.t, tile.places, tile.wide, tile.x, pitch);
    __syncthreads();
    convolve<kTiles>(image, body.space_out, tile.wide, pitch, fetched, body.mix_in, add_to_x);
    __syncthreads();
    convolve<kTiles>(image, body.mix_in, tile.x, pitch, fetched, body.mix_out,
                     [&](int row, int channel, int16_t a, int16_t b) {
                         store(tile.wide + row * wide_pitch + channel, leaky(a), leaky(b));
                     });
    __syncthreads();
    convolve<kTiles>(image, body.mix_out, tile.wide, wide_pitch, fetched, next, add_to_x);
    __syncthreads();
}

// ------------------------------------------------------------------------------------------------------------- kernels

struct HyperArgs {
    const uint8_t* image;
    Plane z;
    Conv head, space_in;
    const int16_t* quality;
    Begun out;
};

template <int kTiles>
__global__ void __launch_bounds__(kThreads) hyper_kernel(HyperArgs args) {
    const int z_pitch = pitch_of(args.z.channels);
    Fetched fetched;
    fetch_first(fetched, args.image, args.head);
    const Tile<kTiles> tile(args.z.height, args.z.width, args.out.t.channels, z_pitch);
    tile.set_vector(args.quality, args.out.t.channels);
    __syncthreads();
    gather<kTiles>(args.z, args.z.channels, tile.places, tile.x, z_pitch);
    __syncthreads();
    convolve<kTiles>(args.image, args.head, tile.x, z_pitch, fetched, args.space_in,
                     [&](int row, int channel, int16_t a, int16_t b) {
                         const Pair q = load(tile.vector + channel);
                         store_both(tile, row, channel, add(a, q.first), add(b, q.second), args.out.t, Same());
                     });
    begin_body(args.image, args.space_in, tile, fetched, args.out, Same());
}

struct UpsampleArgs {
    const uint8_t* image;
    BodyLayout body;
    Begun in;
    Conv up[4], space_in;
    Begun out;  // twice as high and wide
};

// blockIdx.y: which quarter of the upsampling. Four blocks each end the same body, which is a fifth of the quarter's
// time: at these resolutions a GPU has more multiprocessors than there are tiles.
template <int kTiles>
__global__ void __launch_bounds__(kThreads) upsample_kernel(UpsampleArgs args) {
    const int pitch = pitch_of(args.in.t.channels), quarter = blockIdx.y;
    Fetched fetched;
    fetch_first(fetched, args.image, args.body.space_out);
    const Tile<kTiles> tile(args.in.t.height, args.in.t.width, 0, pitch);
    __syncthreads();
    end_body(args.image, args.body, args.in, tile, fetched, args.up[quarter]);
    const auto shuffled = [&](int place) { return 2 * place + ((quarter >> 1) << 16 | (quarter & 1)); };
    convolve<kTiles>(args.image, args.up[quarter], tile.x, pitch, fetched, args.space_in,
                     [&](int row, int channel, int16_t a, int16_t b) {
                         store_both(tile, row, channel, a, b, args.out.t, shuffled);
                     });
    begin_body(args.image, args.space_in, tile, fetched, args.out, shuffled);
}

// t = Leaky(Add(from_hyper(prior), quality)), the beginning of a context step.
struct ContextArgs {
    const uint8_t* image;
    Plane prior;
    Conv from_hyper, space_in;
    const int16_t* quality;
    Begun out;
};

struct PriorArgs {
    BodyLayout body;
    Begun in;  // as large as whole hyperlatents; args.prior is cropped
    ContextArgs first;
};

template <int kTiles>
__global__ void __launch_bounds__(kThreads) prior_kernel(PriorArgs args) {
    const ContextArgs& context = args.first;
    const int width = args.in.t.channels, pitch = pitch_of(width);
    Fetched fetched;
    fetch_first(fetched, context.image, args.body.space_out);
    const Tile<kTiles> tile(context.prior.height, context.prior.width, width, pitch);
    tile.set_vector(context.quality, width);
    __syncthreads();
    end_body(context.image, args.body, args.in, tile, fetched, context.from_hyper);
    for (int i = threadIdx.x; i < tile.kRows * width / 2; i += kThreads) {
        const int row = i / (width / 2), channel = i % (width / 2) * 2;
        const Pair x = load(tile.x + row * pitch + channel);
        if (tile.places[row] != kNowhere)
            store(context.prior.at(tile.places[row]) + channel, x.first, x.second);
    }
    convolve<kTiles>(context.image, context.from_hyper, tile.x, pitch, fetched, context.space_in,
                     [&](int row, int channel, int16_t a, int16_t b) {
                         const Pair q = load(tile.vector + channel);
                         store_both(tile, row, channel, leaky(add(a, q.first)), leaky(add(b, q.second)),
                                    context.out.t, Same());
                     });
    begin_body(context.image, context.space_in, tile, fetched, context.out, Same());
}

struct LaterContextArgs {
    ContextArgs context;
    Plane latents;
    Conv from_latents[kMaxSteps];  // by phase
    int steps;
};

template <int kTiles>
__global__ void __launch_bounds__(kThreads) context_kernel(LaterContextArgs args) {
    const ContextArgs& context = args.context;
    const int width = context.prior.channels, pitch = pitch_of(width);
    Fetched fetched;
    fetch_first(fetched, context.image, context.from_hyper);
    const Tile<kTiles> tile(context.prior.height, context.prior.width, width, pitch);
    tile.set_vector(context.quality, width);
    __syncthreads();
    const Conv& from_latents = args.from_latents[tile.phase(args.steps)];
    // The latents read so far come first. Padding may reach into those not yet written: its weights are 0.
    const int channels = from_latents.k_steps * kMmaDepth, latents_pitch = pitch_of(channels);
    int16_t* const latents = tile.wide + tile.kRows * pitch;
    gather<kTiles>(context.prior, width, tile.places, tile.x, pitch);
    gather<kTiles>(args.latents, channels, tile.places, latents, latents_pitch);
    __syncthreads();
    convolve<kTiles>(context.image, context.from_hyper, tile.x, pitch, fetched, from_latents,
                     [&](int row, int channel, int16_t a, int16_t b) {
                         const Pair q = load(tile.vector + channel);
                         store(tile.wide + row * pitch + channel, add(a, q.first), add(b, q.second));
                     });
    // No barrier: each thread goes on with what it has written itself.
    convolve<kTiles>(context.image, from_latents, latents, latents_pitch, fetched, context.space_in,
                     [&](int row, int channel, int16_t a, int16_t b) {
                         const Pair before = load(tile.wide + row * pitch + channel);
                         store_both(tile, row, channel, leaky(add(before.first, a)), leaky(add(before.second, b)),
                                    context.out.t, Same());
                     });
    begin_body(context.image, context.space_in, tile, fetched, context.out, Same());
}

struct HeadsArgs {
    const uint8_t* image;
    BodyLayout body;
    Begun in;
    Conv heads[kMaxSteps];              // by phase
    const int16_t* quality[kMaxSteps];  // by phase
    int steps, k, group_size, channels;  // of the heads: group_size each, padded together
    int16_t* means;
    uint8_t* indexes;
};

template <int kTiles>
__global__ void __launch_bounds__(kThreads) heads_kernel(HeadsArgs args) {
    const int pitch = pitch_of(args.in.t.channels), height = args.in.t.height, width = args.in.t.width;
    Fetched fetched;
    fetch_first(fetched, args.image, args.body.space_out);
    const Tile<kTiles> tile(height, width, args.channels, pitch);
    const int phase = tile.phase(args.steps);
    const Conv& heads = args.heads[phase];
    tile.set_vector(args.quality[phase], args.channels);
    __syncthreads();
    end_body(args.image, args.body, args.in, tile, fetched, heads);
    const int64_t start = channel_start(args.steps, args.k, args.k ^ phase, height, width);
    const int64_t next_channel = static_cast<int64_t>(height) * width;  // of the same group
    convolve<kTiles>(args.image, heads, tile.x, pitch, fetched, Conv(),
                     [&](int row, int channel, int16_t a, int16_t b) {
                         const int place = tile.places[row];
                         if (place == kNowhere) return;
                         const int64_t at = start + rank_of(args.steps, phase, width, place >> 16, place & 0xFFFF);
                         const int16_t values[2] = {a, b};
#pragma unroll
                         for (int i = 0; i < 2; ++i) {
                             const int c = channel + i;
                             if (c < args.group_size)
                                 args.means[at + c * next_channel] = values[i];
                             else if (c < 2 * args.group_size)
                                 args.indexes[at + (c - args.group_size) * next_channel] =
                                     index_of(add(values[i], tile.vector[c]));
                         }
                     });
}

// ------------------------------------------------------------------------------------------- symbols, one thread each

// blockIdx.y: the channel; its positions along x.
__device__ int64_t position_in_channel() { return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; }

__global__ void __launch_bounds__(kThreads) hyper_indexes_kernel(const uint8_t* index, int64_t n, uint8_t* indexes) {
    const int64_t i = position_in_channel();
    if (i < n) indexes[blockIdx.y * n + i] = index[blockIdx.y];
}

struct FillArgs {
    const int16_t* step;  // by channel
    const uint8_t* indexes;
    const float* values;  // null: the symbols are given
    Strides strides;
    int16_t* symbols;
};

// The symbol at place n of the segment, chosen or given -> its latent.
__device__ int16_t fill(const FillArgs& args, int64_t n, int channel, int y, int x, int16_t mean) {
    const int16_t step = args.step[channel];
    if (args.values) {
        const float value = args.values[channel * args.strides.channel + y * args.strides.row + x * args.strides.column];
        args.symbols[n] = nearest_symbol(to_fixed(value), mean, step, args.indexes[n]);
    }
    return reconstruct(mean, args.symbols[n], step);
}

__global__ void __launch_bounds__(kThreads) fill_hyper_kernel(FillArgs args, Plane z) {
    const int64_t n = static_cast<int64_t>(z.height) * z.width, i = position_in_channel();
    const int channel = blockIdx.y;
    if (i >= n) return;
    const int y = static_cast<int>(i / z.width), x = static_cast<int>(i % z.width);
    z.at(y, x)[channel] = fill(args, channel * n + i, channel, y, x, 0);
}

__global__ void __launch_bounds__(kThreads)
    fill_latents_kernel(FillArgs args, const int16_t* means, Plane latents, int steps, int k, int group_size, float* out) {
    const int channel = blockIdx.y, phase = k ^ channel % steps;
    const int height = latents.height, width = latents.width;
    const int64_t rank = position_in_channel();
    if (rank >= phase_size(steps, phase, height, width)) return;
    const auto [y, x] = position_of(steps, phase, width, static_cast<int>(rank));
    const int64_t at = channel_start(steps, k, channel, height, width) + rank;
    const int16_t latent = fill(args, at, channel, y, x, means[at]);
    latents.at(y, x)[k * group_size + channel / steps] = latent;  // in the order of steps, as from_latents reads them
    out[(static_cast<int64_t>(channel) * height + y) * width + x] = static_cast<float>(latent) / (1 << kFractionBits);
}

// ----------------------------------------------------------------------------------------------------------- workspace

struct Workspace {
    Plane z, prior, latents;
    Begun begun[2];  // taken in turn: a kernel reads one's neighbours while it writes the other
    int16_t* means;
    uint64_t bytes;
};

int hyper_side(int side) { return (side + kHyperStride - 1) / kHyperStride; }

Workspace lay_out(const NetLayout& layout, int height, int width, uint8_t* base) {
    constexpr uint64_t kAlignment = 256;
    uint64_t used = 0;
    const auto take = [&](uint64_t n) {
        int16_t* const at = reinterpret_cast<int16_t*>(reinterpret_cast<uintptr_t>(base) + used);
        used += (n * sizeof(int16_t) + kAlignment - 1) / kAlignment * kAlignment;
        return at;
    };
    const auto plane = [&](int h, int w, int channels) {
        return Plane{take(static_cast<uint64_t>(h) * w * channels), h, w, channels};
    };
    const int rows = hyper_side(height), columns = hyper_side(width);
    Workspace space;
    space.z = plane(rows, columns, layout.hyper);
    space.prior = plane(height, width, layout.width);
    space.latents = plane(height, width, layout.latents);
    for (Begun& begun : space.begun)
        for (Plane* p : {&begun.t, &begun.s}) *p = plane(kHyperStride * rows, kHyperStride * columns, layout.width);
    space.means = take(static_cast<uint64_t>(height) * width * layout.config.latents);
    space.bytes = used;
    return space;
}

Begun sized(const Begun& begun, int height, int width) {
    Begun out = begun;
    for (Plane* p : {&out.t, &out.s}) p->height = height, p->width = width;
    return out;
}

// ------------------------------------------------------------------------------------------------------------ launches

constexpr int kSmallRows = kMmaRows, kLargeRows = 2 * kMmaRows;
constexpr size_t kMaxSharedBytes = 99 * 1024;  // what a block may have on the least of sm_80 and later

// All tiles of a plane of height x width, `parts` blocks each.
template <class Args>
void run_tiles(void (*small)(Args), void (*large)(Args), const CudaWalk& walk, int height, int width, int parts,
               int vector_channels, int x_pitch, int wide_pitch, Launch where, const Args& args) {
    const bool wants_large = static_cast<int64_t>(height) * width > walk.large;
    const size_t large_bytes = shared_bytes(kLargeRows, vector_channels, x_pitch, wide_pitch);
    const int rows = wants_large && large_bytes <= kMaxSharedBytes ? kLargeRows : kSmallRows;
    run_kernel(rows == kSmallRows ? small : large, dim3(static_cast<unsigned>(tile_count(height, width, rows)), parts),
               dim3(kThreads), shared_bytes(rows, vector_channels, x_pitch, wide_pitch), where, args);
}

template <class T>
const T* row_of(const CudaWalk& walk, uint32_t table, int channels) {
    return reinterpret_cast<const T*>(walk.image + table) + static_cast<size_t>(walk.quality - 1) * channels;
}

ContextArgs context_args(const CudaWalk& walk, const Workspace& space, int k) {
    const StepLayout& step = walk.layout.steps[k];
    return {walk.image, space.prior, step.from_hyper, step.body.space_in,
            row_of<int16_t>(walk, step.quality, walk.layout.width), sized(space.begun[1], walk.height, walk.width)};
}

dim3 grid_of(int64_t positions, int channels) {
    return dim3(static_cast<unsigned>((positions + kThreads - 1) / kThreads), channels);
}

int wide_pitch_of_body(const NetLayout& layout) { return pitch_of(layout.wide); }
int wide_pitch_of_context(const NetLayout& layout, int k) {
    return pitch_of(layout.width) + pitch_of(layout.steps[k].from_latents[0].k_steps * kMmaDepth);
}

// From the hyperlatents to the beginning of the first context step's body, in space.begun[1].
void run_prior(const CudaWalk& walk, const Workspace& space, Launch where) {
    const NetLayout& net = walk.layout;
    const int rows = space.z.height, columns = space.z.width, pitch = pitch_of(net.width);
    Begun in = sized(space.begun[0], rows, columns);
    run_tiles(hyper_kernel<1>, hyper_kernel<2>, walk, rows, columns, 1, net.width, pitch_of(net.hyper), pitch,
              where,
              HyperArgs{walk.image, space.z, net.head, net.bodies[0].space_in,
                        row_of<int16_t>(walk, net.quality, net.width), in});
    for (int i = 0; i < 2; ++i) {
        const Begun out = sized(space.begun[1 - i], rows << (i + 1), columns << (i + 1));
        const auto& up = net.up[i];
        run_tiles(upsample_kernel<1>, upsample_kernel<2>, walk, rows << i, columns << i, 4, 0, pitch,
                  wide_pitch_of_body(net), where,
                  UpsampleArgs{walk.image, net.bodies[i], in, {up[0], up[1], up[2], up[3]},
                               net.bodies[i + 1].space_in, out});
        in = out;
    }
    run_tiles(prior_kernel<1>, prior_kernel<2>, walk, walk.height, walk.width, 1, net.width, pitch,
              wide_pitch_of_body(net), where, PriorArgs{net.bodies[2], in, context_args(walk, space, 0)});
}

void run_context(const CudaWalk& walk, const Workspace& space, int k, Launch where) {
    const NetLayout& net = walk.layout;
    LaterContextArgs args = {context_args(walk, space, k), space.latents, {}, net.config.steps};
    std::copy_n(net.steps[k].from_latents, net.config.steps, args.from_latents);
    run_tiles(context_kernel<1>, context_kernel<2>, walk, walk.height, walk.width, 1, net.width, pitch_of(net.width),
              wide_pitch_of_context(net, k), where, args);
}

void run_heads(const CudaWalk& walk, const Workspace& space, int k, uint8_t* indexes, Launch where) {
    const NetLayout& net = walk.layout;
    const StepLayout& step = net.steps[k];
    const int steps = net.config.steps;
    HeadsArgs args = {walk.image, step.body, sized(space.begun[1], walk.height, walk.width), {}, {}, steps, k,
                      net.config.latents / steps, net.heads, space.means, indexes};
    for (int phase = 0; phase < steps; ++phase) {
        args.heads[phase] = step.heads[phase];
        args.quality[phase] = row_of<int16_t>(walk, step.heads_quality[phase], net.heads);
    }
    run_tiles(heads_kernel<1>, heads_kernel<2>, walk, walk.height, walk.width, 1, net.heads, pitch_of(net.width),
              wide_pitch_of_body(net), where, args);
}

void run_fill(const CudaWalk& walk, int k, FillArgs args, Launch where) {
    const NetLayout& net = walk.layout;
    const Workspace space = lay_out(net, walk.height, walk.width, walk.workspace);
    const auto [latents, hyper, context, steps] = net.config;
    if (k == 0) {
        const int64_t positions = static_cast<int64_t>(space.z.height) * space.z.width;
        args.step = row_of<int16_t>(walk, net.hyper_step, hyper);
        run_kernel(fill_hyper_kernel, grid_of(positions, hyper), dim3(kThreads), 0, where, args, space.z);
        return;
    }
    int64_t positions = 0;
    for (int phase = 0; phase < steps; ++phase)
        positions = std::max<int64_t>(positions, phase_size(steps, phase, walk.height, walk.width));
    args.step = row_of<int16_t>(walk, net.step, latents);
    run_kernel(fill_latents_kernel, grid_of(positions, latents), dim3(kThreads), 0, where, args, space.means,
               space.latents, steps, k - 1, latents / steps, walk.latents);
}

}  // namespace

bool fits(const NetLayout& layout) {
    const int width = layout.width, pitch = pitch_of(width), last = layout.config.steps - 1;
    return std::max({shared_bytes(kSmallRows, width, pitch_of(layout.hyper), pitch),
                     shared_bytes(kSmallRows, std::max(width, layout.heads), pitch, wide_pitch_of_body(layout)),
                     shared_bytes(kSmallRows, width, pitch, wide_pitch_of_context(layout, last))}) <= kMaxSharedBytes;
}

uint64_t workspace_bytes(const NetLayout& layout, int height, int width) {
    return lay_out(layout, height, width, nullptr).bytes;
}

int64_t segment_size(const NetsConfig& config, int height, int width, int k) {
    if (k == 0) return static_cast<int64_t>(config.hyper) * hyper_side(height) * hyper_side(width);
    return static_cast<int64_t>(config.latents / config.steps) * height * width;
}

void predict_cuda(const CudaWalk& walk, int k, uint8_t* indexes, Launch where) {
    const DeviceGuard guard(where.device);
    const NetLayout& net = walk.layout;
    const Workspace space = lay_out(net, walk.height, walk.width, walk.workspace);
    if (k == 0) {
        const int64_t positions = static_cast<int64_t>(space.z.height) * space.z.width;
        run_kernel(hyper_indexes_kernel, grid_of(positions, net.config.hyper), dim3(kThreads), 0, where,
                   row_of<uint8_t>(walk, net.hyper_index, net.config.hyper), positions, indexes);
        return;
    }
    if (k == 1)
        run_prior(walk, space, where);
    else
        run_context(walk, space, k - 1, where);
    run_heads(walk, space, k - 1, indexes, where);
}

void choose_cuda(const CudaWalk& walk, int k, const uint8_t* indexes, const float* values, Strides strides,
                 int16_t* symbols, Launch where) {
    const DeviceGuard guard(where.device);
    run_fill(walk, k, {nullptr, indexes, values, strides, symbols}, where);
}

void accept_cuda(const CudaWalk& walk, int k, const int16_t* symbols, Launch where) {
    const DeviceGuard guard(where.device);
    // Only read: without values nothing is chosen.
    run_fill(walk, k, {nullptr, nullptr, nullptr, {}, const_cast<int16_t*>(symbols)}, where);
}

}  // namespace aec
