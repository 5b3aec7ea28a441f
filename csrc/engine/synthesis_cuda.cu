// The branch is run by CudaExecution. Then one kernel makes the shortcut, adds the branch, and rounds to samples: a
// block takes a tile of latents and one quarter of the 16x16 pixels of each, which are the pixels of one position of
// the branch's output.
#include "engine/synthesis_cuda.h"

#include "base/cuda_check.h"
#include "engine/executor_cuda.cuh"
#include "engine/rect_tile.cuh"

namespace aec {
namespace {

constexpr int kChannels = 3, kEighth = kLatentStride / 2, kBranch = kEighth * kEighth * kChannels;

// The accumulators of the shortcut: a pixel needs the sum of products with the latents' high bytes and that with their
// low bytes by themselves (shortcut_of). Each is the sum of products with the weights' high and low bytes.
struct ShortcutSums {
    int32_t high_high[4] = {}, high_low[4] = {}, low_high[4] = {}, low_low[4] = {};  // the latents', the weights'

    __device__ void add(const uint32_t (&x_high)[4], const uint32_t (&x_low)[4], const uint32_t (&w_high)[2],
                        const uint32_t (&w_low)[2]) {
        mma<true, true>(high_high, x_high, w_high);
        mma<true, false>(high_low, x_high, w_low);
        mma<false, true>(low_high, x_low, w_high);
        mma<false, false>(low_low, x_low, w_low);
    }
    __device__ void add(const uint32_t (&x_high)[4], const uint32_t (&x_low)[4], const uint32_t (&w)[2]) {
        mma<true, true>(high_low, x_high, w);
        mma<false, true>(low_low, x_low, w);
    }
    __device__ int32_t result(int i, const Constants& c) const {
        return shortcut_of(joined(high_high[i], high_low[i]), joined(low_high[i], low_low[i]), c.start, c.shift);
    }
    // May wrap around on the way, as in mma.cuh.
    __device__ static int32_t joined(int32_t high, int32_t low) {
        return static_cast<int32_t>((static_cast<uint32_t>(high) << 8) + static_cast<uint32_t>(low));
    }
};

struct PixelArgs {
    const uint8_t* image;
    Conv shortcut;        // with a variant for each quarter
    DevicePlane latents;
    DevicePlane branch;   // the output of the branch's program; no data: there is none
    const int16_t* gain;  // [kQualities][kBranch]
    int gain_shift, shrink_log2;
    bool gray;
    DeviceQualities qualities;
    LatentRect rect;               // the latents whose pixels are made
    int top, left, bottom, right;  // the samples of them that are wanted
    Strides strides;               // of the samples
};

// The distance of two rows of the shortcut's results in shared memory, in numbers. The 8 keep the eight rows that a
// warp writes at a time apart in the banks.
AEC_HD int results_pitch(const Conv& conv) { return 16 * conv.pairs + 8; }

size_t shared_bytes(const PixelArgs& args, int rows) {
    return rows * (2 * sizeof(int) + pitch_of(args.shortcut.k_steps * kDepth) * sizeof(int16_t) +
                   results_pitch(args.shortcut) * sizeof(int32_t));
}

// The branch's part of channel `channel` of sample (y, x) of a quarter. pixels, gain: [8][8][3].
__device__ int32_t branch_mean(const PixelArgs& args, const int16_t* pixels, const int16_t* gain, int y, int x,
                               int channel) {
    const int side = 1 << args.shrink_log2;
    int32_t sum = 0;
    for (int i = 0; i < side; ++i)
        for (int j = 0; j < side; ++j) {
            const int at = ((y * side + i) * kEighth + x * side + j) * kChannels + channel;
            sum += branch_of(pixels[at], gain[at], args.gain_shift);
        }
    return mean_of(sum, args.shrink_log2);
}

template <class Sample, int kTiles>
__global__ void __launch_bounds__(kThreads) pixel_kernel(const __grid_constant__ PixelArgs args, Sample* out) {
    constexpr int kRows = kTiles * kMmaRows, kScale = sizeof(Sample) == 1 ? 1 : 257;
    const int quarter = blockIdx.y, pitch = pitch_of(args.shortcut.k_steps * kDepth);
    const Conv conv = variant_of(args.shortcut, quarter);
    Fetched fetched;
    fetch_first(fetched, args.image, conv);
    int* const places = shared_memory<int>();
    int* const gain_rows = places + kRows;
    int16_t* const latents = reinterpret_cast<int16_t*>(gain_rows + kRows);
    int32_t* const results = reinterpret_cast<int32_t*>(latents + kRows * pitch);
    find_places(args.rect, args.qualities, kRows, places, gain_rows);
    __syncthreads();
    gather<kTiles>(args.latents, args.latents.channels, 1, places, latents, pitch);
    __syncthreads();
    convolve<kTiles, ShortcutSums>(args.image, conv, latents, pitch, fetched, Conv(),
                                   [&](int row, int channel, int32_t a, int32_t b) {
                                       int32_t* const to = results + row * results_pitch(conv) + channel;
                                       to[0] = a, to[1] = b;
                                   });
    __syncthreads();
    const int part = kEighth >> args.shrink_log2;
    for (int i = threadIdx.x; i < part * kRows * part; i += kThreads) {
        const int x = i % part, row = i / part % kRows, y = i / part / kRows, place = places[row];
        if (place == kNowhere) continue;
        const int at_y = (2 * y_of(place) + (quarter >> 1)) * part + y;
        const int at_x = (2 * x_of(place) + (quarter & 1)) * part + x;
        if (at_y < args.top || at_y >= args.bottom || at_x < args.left || at_x >= args.right) continue;
        int32_t values[kChannels];
#pragma unroll
        for (int c = 0; c < kChannels; ++c) {
            values[c] = results[row * results_pitch(conv) + (y * part + x) * kChannels + c];
            if (args.branch.data)
                values[c] += branch_mean(args, args.branch.at(finer(place, quarter)),
                                         args.gain + gain_rows[row] * kBranch, y, x, c);
        }
        Sample* const to = out + (at_y - args.top) * args.strides.row + (at_x - args.left) * args.strides.column;
        if (args.gray) {
            *to = static_cast<Sample>(gray_sample_of(values[0] + values[1] + values[2], kScale));
            continue;
        }
#pragma unroll
        for (int c = 0; c < kChannels; ++c)
            to[c * args.strides.channel] = static_cast<Sample>(sample_of(values[c], kScale));
    }
}

template <class Sample, int kTiles>
bool launch(const PixelArgs& args, Sample* out, Launch where) {
    constexpr int kRows = kTiles * kMmaRows;
    const size_t bytes = shared_bytes(args, kRows);
    if (bytes > kMaxSharedBytes) return false;
    run_kernel(pixel_kernel<Sample, kTiles>, dim3(tile_count(args.rect, kRows), 4), dim3(kThreads), bytes, where, args,
               out);
    return true;
}

CudaExecution branch_of(const CudaSynthesis& made, const Rect& own, const uint8_t* image, uint8_t* workspace) {
    const ProgramImage& net = made.net.branch;
    const Plan plan(net.program, made.picture.rows, made.picture.columns, doubled(own));
    check_halo(made.given, plan.needed[net.program.inputs[0]]);
    return CudaExecution(net, plan, image, workspace);
}

}  // namespace

bool fits(const SynthesisImage& net) {
    const Program& program = net.branch.program;
    if (!CudaExecution(net.branch, Plan(program, 1, 1, {0, 2, 0, 2}), nullptr, nullptr).fits()) return false;
    PixelArgs args = {};
    args.shortcut = net.shortcuts[0];  // the one with the most outputs
    return shared_bytes(args, kMmaRows) <= kMaxSharedBytes;
}

uint64_t workspace_bytes(const CudaSynthesis& made) {
    const Rect own = made.net.transform->checked_latents(made.picture, made.given, made.area);
    return made.picture.branch && !made.area.empty() ? branch_of(made, own, nullptr, nullptr).workspace_bytes() : 0;
}

template <class Sample>
void synthesise_cuda(const CudaSynthesis& made, const CudaSynthesisMemory& memory, Sample* out, Strides strides,
                     Launch where) {
    const auto& [net, picture, given, area] = made;
    const Rect own = net.transform->checked_latents(picture, given, area);
    if (area.empty()) return;
    const DeviceGuard guard(where.device);
    PixelArgs args = {};
    args.image = memory.image;
    args.shortcut = net.shortcuts[picture.shrink_log2];
    // The cast is safe: planes are written to only as outputs of layers.
    args.latents = {const_cast<int16_t*>(memory.latents), given.rows(), given.columns(), memory.channels, given.y0,
                    given.x0};
    args.qualities = device_qualities(picture.qualities, memory.map, picture.columns);
    if (picture.branch) {
        CudaExecution branch = branch_of(made, own, memory.image, memory.workspace);
        branch.run(args.latents, args.qualities, memory.large, where);
        args.branch = branch.output();
    }
    args.gain = reinterpret_cast<const int16_t*>(reinterpret_cast<uintptr_t>(memory.image) + net.gain);
    args.gain_shift = net.gain_shift;
    args.shrink_log2 = picture.shrink_log2;
    args.gray = picture.gray;
    args.rect = latent_rect(own);
    args.top = area.y0, args.left = area.x0, args.bottom = area.y1, args.right = area.x1;
    args.strides = strides;
    if (static_cast<int64_t>(own.rows()) * own.columns() > memory.large && launch<Sample, 2>(args, out, where)) return;
    if (!launch<Sample, 1>(args, out, where)) throw std::invalid_argument("a network is too wide for shared memory");
}

template void synthesise_cuda(const CudaSynthesis&, const CudaSynthesisMemory&, uint8_t*, Strides, Launch);
template void synthesise_cuda(const CudaSynthesis&, const CudaSynthesisMemory&, uint16_t*, Strides, Launch);

}  // namespace aec
