// READ ME FIRST
//  1. For a photo of usual size the time of these networks is not limited by arithmetic but by latency, since some 50
//     layers run one after the other. So a block of threads takes a tile of positions, and runs as many layers on it as
//     possible without leaving shared memory (tile.cuh). Only a 3x3 convolution reads results of other tiles.
//     Before it, a kernel must end and the next one begin.
//  2. Therefore the border between two kernels lies in the middle of a Block (FORMAT §8). One kernel writes t, the
//     Block's input, and s = Leaky(space_in(t)) to global memory: it begins the Block. The next kernel ends the Block:
//     it continues with space(s). These are the kernels of the first context step, a line each:
//       head, begin body4
//       end body4, up2 with Shuffle(2), begin body2
//       end body2, up1 with Shuffle(2), begin body1
//       end body1, from_hyper, begin body
//       end body, mean and index
//     and these are the two kernels of each further context step:
//       from_hyper, from_latents, begin body
//       end body, mean and index
//  3. All positions of a tile have the same phase. So in each context step they need the same 1 / steps of the outputs
//     of mean and index, and the same channels of the latents are known. The latents of a position are stored in the
//     order of the steps in which they are coded.
//  4. The arithmetic that decides a byte of a file is in nets.h; mma.cuh proves that its sums are exact.
#include "engine/nets_cuda.h"

#include <algorithm>

#include "base/cuda_check.h"
#include "engine/tile.cuh"

namespace aec {
namespace {

// ------------------------------------------------------------------------------------------- symbols, one thread each

// These kernels have a thread for each symbol. blockIdx.y is the channel, and its positions are numbered along x.
__device__ int64_t position_in_channel() { return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; }

__global__ void __launch_bounds__(kThreads) hyper_indexes_kernel(const uint8_t* index, int64_t n, uint8_t* indexes) {
    const int64_t i = position_in_channel();
    if (i < n) indexes[blockIdx.y * n + i] = index[blockIdx.y];
}

struct FillArgs {
    const int16_t* step;        // [channels] step sizes
    const uint8_t* indexes;     // [segment_size]
    const int16_t* values;      // the latents to quantise; null: the symbols are given
    Strides strides;            // of values
    const int16_t* dead_zones;  // [kIndexCount]
    int16_t* symbols;           // [segment_size], written if there are values, else read
};

// Chooses symbol n of the segment, or reads it, and returns its dequantised latent.
__device__ int16_t fill(const FillArgs& args, int64_t n, int channel, int y, int x, int16_t mean) {
    const int16_t step = args.step[channel];
    if (args.values) {
        const Strides& by = args.strides;
        const int16_t value = args.values[channel * by.channel + y * by.row + x * by.column];
        const uint8_t index = args.indexes[n];
        args.symbols[n] = choose_symbol(value, mean, step, index, args.dead_zones[index]);
    }
    return reconstruct(mean, args.symbols[n], step);
}

__global__ void __launch_bounds__(kThreads) fill_hyper_kernel(FillArgs args, DevicePlane z) {
    const int64_t n = static_cast<int64_t>(z.height) * z.width, i = position_in_channel();
    const int channel = blockIdx.y;
    if (i >= n) return;
    const int y = static_cast<int>(i / z.width), x = static_cast<int>(i % z.width);
    z.at(y, x)[channel] = fill(args, channel * n + i, channel, y, x, 0);
}

__global__ void __launch_bounds__(kThreads)
    fill_latents_kernel(FillArgs args, const int16_t* means, DevicePlane latents, int steps, int k, int group_size,
                        float* out) {
    const int channel = blockIdx.y, phase = k ^ channel % steps;
    const int height = latents.height, width = latents.width;
    const int64_t rank = position_in_channel();
    if (rank >= phase_size(steps, phase, height, width)) return;
    const auto [y, x] = position_of(steps, phase, width, static_cast<int>(rank));
    const int64_t at = channel_start(steps, k, channel, height, width) + rank;
    const int16_t latent = fill(args, at, channel, y, x, means[at]);
    latents.at(y, x)[k * group_size + channel / steps] = latent;  // the order in which from_latents reads them
    out[(static_cast<int64_t>(channel) * height + y) * width + x] = static_cast<float>(latent) / (1 << kFractionBits);
}

// ----------------------------------------------------------------------------------------------------------- workspace

struct Begun {  // a Block that one kernel has begun: its input t, and s = Leaky(space_in(t))
    DevicePlane t, s;
};

// The feature maps in the workspace. The padding channels of z and of the latents are never written; they do not
// matter, because their weights are 0.
struct Workspace {
    DevicePlane z, prior, latents;
    Begun begun[2];  // used in turn: a kernel reads neighbouring positions of one while its blocks write to the other
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
        return DevicePlane{take(static_cast<uint64_t>(h) * w * channels), h, w, channels};
    };
    const int rows = hyper_side(height), columns = hyper_side(width);
    Workspace space;
    space.z = plane(rows, columns, layout.hyper);
    space.prior = plane(height, width, layout.width);
    space.latents = plane(height, width, layout.latents);
    for (Begun& begun : space.begun)
        for (DevicePlane* p : {&begun.t, &begun.s}) *p = plane(kHyperStride * rows, kHyperStride * columns, layout.width);
    space.means = take(static_cast<uint64_t>(height) * width * layout.config.latents);
    space.bytes = used;
    return space;
}

Begun sized(const Begun& begun, int height, int width) {
    Begun out = begun;
    for (DevicePlane* p : {&out.t, &out.s}) p->height = height, p->width = width;
    return out;
}

// ------------------------------------------------------------------------------------------------------------ programs

template <class T>
const T* row_of(const CudaWalk& walk, uint32_t table, int channels) {
    const uint64_t row = static_cast<uint64_t>(walk.quality - 1) * channels * sizeof(T);
    return reinterpret_cast<const T*>(reinterpret_cast<uintptr_t>(walk.image) + table + row);
}

// Builds the TileProgram of one kernel. In shared memory, region `x` holds the current feature map, and region `wide`
// after it holds what layers compute from it.
class Writer {
public:
    Writer(const CudaWalk& walk, int height, int width, int x_channels)
        : walk_(walk), x_{0, pitch_of(x_channels)}, wide_{x_.pitch, pitch_of(walk.layout.width)} {
        program_.height = height;
        program_.width = width;
        program_.steps = walk.layout.config.steps;
        program_.image = walk.image;
        program_.qualities.one = walk.quality;
    }

    // stride: bytes from the table for one variant of the layer to that for the next.
    void vector(Layer& layer, uint32_t table, uint32_t stride = 0) {
        layer.vector = reinterpret_cast<const int16_t*>(reinterpret_cast<uintptr_t>(walk_.image) + table);
        layer.vector_stride = stride / sizeof(int16_t);
    }

    void source(const DevicePlane& plane, int channels, Region to) {
        program_.sources[n_sources_++] = {plane, channels, 1, to};
    }

    // The kernel begins in the middle of a Block; the Block's result is left in x, and also written to `memory`, if
    // given.
    void end_body(const BodyLayout& body, const Begun& begun, const DevicePlane& memory = {}) {
        const Region inner = {wide_.before, pitch_of(walk_.layout.wide)};
        program_.space = body.space;
        program_.t = begun.t;
        program_.t_to = x_;
        program_.s = begun.s;
        program_.s_to = wide_;
        add(body.space_out, wide_, x_).adds_to_out = true;
        add(body.mix_in, x_, inner).is_leaky = true;
        Layer& last = add(body.mix_out, inner, x_);
        last.adds_to_out = true;
        last.memory = memory;
    }

    // The kernel ends in the middle of a Block, whose input t is the result of the last layer, in `wide`. Writes t and
    // s to `begun`.
    void begin_body(const Conv& space_in, const Begun& begun) {
        program_.layers[program_.n_layers - 1].memory = begun.t;
        Layer& layer = leave(space_in, wide_);
        layer.is_leaky = true;
        layer.memory = begun.s;
    }

    // Adds a layer whose result stays in shared memory.
    Layer& add(const Conv& conv, Region in, Region out) {
        Layer& layer = leave(conv, in);
        layer.stays = true;
        layer.out = out;
        program_.pitch = std::max(program_.pitch, out.end());
        return layer;
    }

    // Adds a layer whose result does not stay in shared memory.
    Layer& leave(const Conv& conv, Region in) {
        Layer& layer = program_.layers[program_.n_layers++];
        layer.conv = conv;
        layer.in = in;
        program_.pitch = std::max(program_.pitch, in.end());
        return layer;
    }

    Region x() const { return x_; }
    Region wide() const { return wide_; }
    Region after_wide(int channels) const { return {wide_.end(), pitch_of(channels)}; }
    TileProgram& program() { return program_; }

private:
    const CudaWalk& walk_;
    const Region x_, wide_;
    int n_sources_ = 0;
    TileProgram program_ = {};
};

TileProgram hyper_program(const CudaWalk& walk, const DevicePlane& z, const Begun& out) {
    const NetLayout& net = walk.layout;
    Writer write(walk, z.height, z.width, net.hyper);
    write.source(z, net.hyper, write.x());
    write.vector(write.add(net.head, write.x(), write.wide()), net.quality);
    write.begin_body(net.bodies[0].space_in, out);
    return write.program();
}

// i = 0: end body4, up2, begin body2; i = 1: end body2, up1, begin body1. Each of the four quarters of the upsampling
// is computed by blocks of its own, and each of these blocks repeats the end of the body. In total that is more work,
// but it is finished sooner, because at these sizes a GPU has more multiprocessors than there are tiles.
TileProgram upsample_program(const CudaWalk& walk, int i, const Begun& in, const Begun& out) {
    const NetLayout& net = walk.layout;
    Writer write(walk, in.t.height, in.t.width, net.width);
    write.program().steps = 0;
    write.program().quarters = true;
    write.end_body(net.bodies[i], in);
    write.add(net.up[i], write.x(), write.wide());
    write.begin_body(net.bodies[i + 1].space_in, out);
    return write.program();
}

// End body1, from_hyper of the first context step, begin its body. `in` has 4x4 positions for each hyperlatent; it is
// cropped here to the size of the latents.
TileProgram prior_program(const CudaWalk& walk, const Begun& in, const DevicePlane& prior, const Begun& out) {
    const NetLayout& net = walk.layout;
    const StepLayout& first = net.steps[0];
    Writer write(walk, walk.height, walk.width, net.width);
    write.end_body(net.bodies[2], in, prior);
    Layer& layer = write.add(first.from_hyper, write.x(), write.wide());
    write.vector(layer, first.quality);
    layer.is_leaky = true;
    write.begin_body(first.body.space_in, out);
    return write.program();
}

// Context step k > 0: from_hyper, from_latents, begin body. The latents that are known come first in memory. The
// padding of their channels may reach into the latents that are not known yet, but there its weights are 0.
TileProgram context_program(const CudaWalk& walk, int k, const DevicePlane& prior, const DevicePlane& latents, const Begun& out) {
    const NetLayout& net = walk.layout;
    const StepLayout& step = net.steps[k];
    const int channels = step.from_latents.k_steps * kMmaDepth;
    Writer write(walk, walk.height, walk.width, net.width);
    write.source(prior, net.width, write.x());
    write.source(latents, channels, write.after_wide(channels));
    write.vector(write.add(step.from_hyper, write.x(), write.wide()), step.quality);
    Layer& layer = write.add(step.from_latents, write.after_wide(channels), write.wide());
    layer.adds_to_out = layer.is_leaky = true;
    write.begin_body(step.body.space_in, out);
    return write.program();
}

TileProgram heads_program(const CudaWalk& walk, int k, const Begun& in, int16_t* means, uint8_t* indexes) {
    const NetLayout& net = walk.layout;
    const StepLayout& step = net.steps[k];
    Writer write(walk, walk.height, walk.width, net.width);
    write.end_body(step.body, in);
    Layer& layer = write.leave(step.heads, write.x());
    write.vector(layer, step.heads_quality, step.heads_quality_stride);
    layer.is_heads = true;
    write.program().heads = {net.config.steps, k, net.config.latents / net.config.steps, means, indexes};
    return write.program();
}

// ------------------------------------------------------------------------------------------------------------ launches

void run(const CudaWalk& walk, const TileProgram& program, Launch where) { run_tiles(program, walk.large, where); }

dim3 grid_of(int64_t positions, int channels) {
    return dim3(static_cast<unsigned>((positions + kThreads - 1) / kThreads), channels);
}

void run_prior(const CudaWalk& walk, const Workspace& space, const Begun& out, Launch where) {
    const int rows = space.z.height, columns = space.z.width;
    const Begun at4 = sized(space.begun[0], rows, columns), at2 = sized(space.begun[1], 2 * rows, 2 * columns),
                at1 = sized(space.begun[0], 4 * rows, 4 * columns);
    run(walk, hyper_program(walk, space.z, at4), where);
    run(walk, upsample_program(walk, 0, at4, at2), where);
    run(walk, upsample_program(walk, 1, at2, at1), where);
    run(walk, prior_program(walk, at1, space.prior, out), where);
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
    const CudaWalk walk = {layout, 1, 1, 1, 0, nullptr, nullptr, nullptr};
    const int last = layout.config.steps - 1;
    const TileProgram largest[] = {hyper_program(walk, {}, {}), prior_program(walk, {}, {}, {}),
                               context_program(walk, last, {}, {}, {}),
                               heads_program(walk, last, {}, nullptr, nullptr)};
    return std::all_of(std::begin(largest), std::end(largest), [](const TileProgram& p) { return fits(p); });
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
    const Begun begun = sized(space.begun[1], walk.height, walk.width);
    if (k == 1)
        run_prior(walk, space, begun, where);
    else
        run(walk, context_program(walk, k - 1, space.prior, space.latents, begun), where);
    run(walk, heads_program(walk, k - 1, begun, space.means, indexes), where);
}

void choose_cuda(const CudaWalk& walk, int k, const uint8_t* indexes, const int16_t* values, Strides strides,
                 const int16_t* dead_zones, int16_t* symbols, Launch where) {
    const DeviceGuard guard(where.device);
    run_fill(walk, k, {nullptr, indexes, values, strides, dead_zones, symbols}, where);
}

void accept_cuda(const CudaWalk& walk, int k, const int16_t* symbols, Launch where) {
    const DeviceGuard guard(where.device);
    // The cast is safe: without values, symbols are only read.
    run_fill(walk, k, {nullptr, nullptr, nullptr, {}, nullptr, const_cast<int16_t*>(symbols)}, where);
}

}  // namespace aec
