#include "engine/analysis_cuda.h"

#include "base/cuda_check.h"
#include "engine/executor_cuda.cuh"
#include "engine/rect_tile.cuh"

namespace aec {
namespace {

constexpr int kChannels = 3, kEighth = kLatentStride / 2, kBlockOfPixels = kEighth * kEighth * kChannels;

// -------------------------------------------------------------------------------------------------------------- pixels

constexpr int kRowQuads = kEighth * kChannels * sizeof(int16_t) / sizeof(Quad);  // in 8 pixels of a row

// Brings pixels [8 * height][8 * width][3] into the branch's input, [height][width][8 rows][8 columns][3]. Each thread
// copies a row of 8 pixels.
__global__ void __launch_bounds__(kThreads)
    blocks_kernel(const int16_t* pixels, int height, int width, int16_t* blocks) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
    if (i >= static_cast<int64_t>(height) * kEighth * width) return;
    const int64_t row = i / width, x = i % width, position = row / kEighth * width + x;
    const Quad* const from = reinterpret_cast<const Quad*>(pixels) + i * kRowQuads;
    Quad* const to = reinterpret_cast<Quad*>(blocks) + (position * kEighth + row % kEighth) * kRowQuads;
#pragma unroll
    for (int k = 0; k < kRowQuads; ++k) to[k] = from[k];
}

// ------------------------------------------------------------------------------------------------------------- latents

struct LatentArgs {
    const uint8_t* image;
    Conv shortcut;
    DevicePlane pixels;         // the branch's input, in positions of 8x8 pixels
    DevicePlane tail;           // the branch's output
    const int16_t* gain;        // [kQualities][latents]
    const int32_t* gain_shift;  // [latents]
    int latents;
    DeviceQualities qualities;
    LatentRect rect;  // the latents to make
};

size_t shared_bytes(const Conv& shortcut, int rows) {
    return rows * (2 * sizeof(int) + pitch_of(shortcut.k_steps * kDepth) * sizeof(int16_t));
}

// Makes the shortcut, and adds the branch to it. out: [height][width][latents].
template <int kTiles>
__global__ void __launch_bounds__(kThreads) latent_kernel(const __grid_constant__ LatentArgs args, int16_t* out) {
    constexpr int kRows = kTiles * kMmaRows;
    const int pitch = pitch_of(args.shortcut.k_steps * kDepth);
    Fetched fetched;
    fetch_first(fetched, args.image, args.shortcut);
    int* const places = shared_memory<int>();
    int* const gain_rows = places + kRows;
    int16_t* const pixels = reinterpret_cast<int16_t*>(gain_rows + kRows);
    find_places(args.rect, args.qualities, kRows, places, gain_rows);
    __syncthreads();
    gather<kTiles>(args.pixels, kBlockOfPixels, 4, places, pixels, pitch);
    __syncthreads();
    convolve<kTiles>(args.image, args.shortcut, pixels, pitch, fetched, Conv(),
                     [&](int row, int channel, int32_t a, int32_t b) {
                         const int place = places[row];
                         if (place == kNowhere || channel >= args.latents) return;
                         const Pair tail = load(args.tail.at(place) + channel);
                         const Pair gain = load(args.gain + gain_rows[row] * args.latents + channel);
                         const int32_t* const shift = args.gain_shift + channel;
                         store(out + (static_cast<size_t>(blockIdx.x) * kRows + row) * args.latents + channel,
                               latent_of(a, 0, tail.first, gain.first, shift[0]),
                               latent_of(b, 0, tail.second, gain.second, shift[1]));
                     });
}

template <int kTiles>
bool launch(const LatentArgs& args, int16_t* out, Launch where) {
    constexpr int kRows = kTiles * kMmaRows;
    const size_t bytes = shared_bytes(args.shortcut, kRows);
    if (bytes > kMaxSharedBytes) return false;
    run_kernel(latent_kernel<kTiles>, dim3(tile_count(args.rect, kRows)), dim3(kThreads), bytes, where, args, out);
    return true;
}

// ------------------------------------------------------------------------------------------------------------ networks

uint64_t blocks_bytes(const Rect& given) {
    return 4 * static_cast<uint64_t>(given.rows()) * given.columns() * kBlockOfPixels * sizeof(int16_t);
}

CudaExecution branch_of(const CudaAnalysis& made, const uint8_t* image, uint8_t* workspace) {
    const auto& [net, picture, given, area] = made;
    const Plan plan(net.branch.program, picture.rows, picture.columns, area);
    Analysis::check_pixels(given, area, plan.needed[net.branch.program.inputs[0]]);
    return CudaExecution(net.branch, plan, image, workspace);
}

CudaExecution net_of(const CudaHyperAnalysis& made, const uint8_t* image, uint8_t* workspace) {
    const Rect whole = {0, made.rows, 0, made.columns};
    return CudaExecution(made.net.net, Plan(made.net.net.program, made.rows, made.columns, whole), image, workspace);
}

bool fits(const ProgramImage& net) {
    return CudaExecution(net, Plan(net.program, 1, 1, {0, 1, 0, 1}), nullptr, nullptr).fits();
}

template <class T>
const T* at(const uint8_t* image, uint32_t offset) {
    return reinterpret_cast<const T*>(image + offset);
}

}  // namespace

bool fits(const AnalysisImage& net) {
    return fits(net.branch) && shared_bytes(net.shortcut, kMmaRows) <= kMaxSharedBytes;
}

bool fits(const HyperAnalysisImage& net) { return fits(net.net); }

uint64_t workspace_bytes(const CudaAnalysis& made) {
    Analysis::check_area(made.picture, made.area);
    if (made.area.empty()) return 0;
    return blocks_bytes(made.given) + branch_of(made, nullptr, nullptr).workspace_bytes();
}

uint64_t workspace_bytes(const CudaHyperAnalysis& made) { return net_of(made, nullptr, nullptr).workspace_bytes(); }

void analyse_cuda(const CudaAnalysis& made, const CudaAnalysisMemory& memory, const int16_t* pixels, int16_t* out,
                  Launch where) {
    const auto& [net, picture, given, area] = made;
    Analysis::check_area(picture, area);
    if (area.empty()) return;
    // The blocks come first in the workspace; their bytes are a multiple of 256.
    CudaExecution branch = branch_of(made, memory.image, memory.workspace + blocks_bytes(given));
    const DeviceGuard guard(where.device);
    LatentArgs args = {};
    args.pixels = {reinterpret_cast<int16_t*>(memory.workspace), 2 * given.rows(), 2 * given.columns(), kBlockOfPixels,
                   2 * given.y0, 2 * given.x0};
    const int64_t rows = static_cast<int64_t>(args.pixels.height) * kEighth * args.pixels.width;
    run_kernel(blocks_kernel, dim3(static_cast<unsigned>((rows + kThreads - 1) / kThreads)), dim3(kThreads), 0, where,
               pixels, args.pixels.height, args.pixels.width, args.pixels.data);
    args.qualities = device_qualities(picture.qualities, memory.map, picture.columns);
    branch.run(args.pixels, args.qualities, memory.large, where);
    args.image = memory.image;
    args.shortcut = net.shortcut;
    args.tail = branch.output();
    args.gain = at<int16_t>(memory.image, net.gain);
    args.gain_shift = at<int32_t>(memory.image, net.gain_shift);
    args.latents = net.transform->latents();
    args.rect = latent_rect(area);
    if (static_cast<int64_t>(area.rows()) * area.columns() > memory.large && launch<2>(args, out, where)) return;
    if (!launch<1>(args, out, where)) throw std::invalid_argument("a network is too wide for shared memory");
}

Hyperlatents place_of(const CudaHyperAnalysis& made) {
    const DevicePlane output = net_of(made, nullptr, nullptr).output();
    return {reinterpret_cast<uintptr_t>(output.data), output.channels};
}

void analyse_cuda(const CudaHyperAnalysis& made, const CudaAnalysisMemory& memory, const int16_t* latents, int channels,
                  Launch where) {
    const DeviceGuard guard(where.device);
    CudaExecution net = net_of(made, memory.image, memory.workspace);
    const int side = kHyperStride;
    // The cast is safe: planes are written to only as outputs of layers.
    const DevicePlane input = {const_cast<int16_t*>(latents), side * made.rows, side * made.columns, channels};
    DeviceQualities qualities = device_qualities(made.qualities, memory.map, side * made.columns);
    qualities.block_log2 -= kBlockLatentsLog2;  // the coarsest planes have one position for each block
    net.run(input, qualities, memory.large, where);
}

}  // namespace aec
