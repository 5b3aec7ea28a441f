// A kernel in which each block of threads runs a chain of layers on one tile of positions. Which layers is described by
// data (TileProgram).
//
// There is one kernel that loops over the layers, and not a kernel with the layers written out for each chain, because
// of the instruction cache: on a small tile the code of a layer runs only once or twice, so with code of its own for
// each layer, loading the instructions would take longer than executing them.
#pragma once

#include "base/launch.h"
#include "engine/convolve.cuh"
#include "engine/qualities.h"
#include "engine/segment.h"

namespace aec {

// A feature map of a tile in shared memory, int16 [rows][pitch]. It begins after rows * before elements, so `before` is
// the sum of the pitches of the regions that lie before it.
struct Region {
    int before = 0, pitch = 0;
    int end() const { return before + pitch; }
};

constexpr int kSamePlace = -1;

// A 1x1 convolution and what follows it: the result is finish(conv(in), added), where `added` is vector + out. The
// vector, the old content of `out` and the leaky ReLU are each optional.
struct Layer {
    Conv conv;
    Region in, out;
    const int16_t* vector = nullptr;  // [kQualities][16 * conv.pairs], and vector_stride elements on for the next variant
    int64_t vector_stride = 0;
    bool adds_to_out = false, is_leaky = false;
    bool stays = false;       // whether the result is written to `out` in shared memory
    DevicePlane memory = {};  // the plane in global memory to which the result is also written, if any
    int quarter = kSamePlace; // 0 to 3: that plane has twice the resolution, and this is the quarter 2i + j of its
                              // positions, (2y + i, 2x + j), that is written
    bool is_heads = false;    // whether the result are means and index heads, which are written as TileProgram::heads says
};

struct Heads {  // where the means and indexes of context step k are stored: [segment_size] each
    int steps, k, group_size;
    int16_t* means;
    uint8_t* indexes;
};

// The quality at each position: of the blocks of a map in device memory, or one.
struct DeviceQualities {
    int one;             // 1 to 100, if there is no map
    const uint8_t* map;  // [rows][columns], or null
    int columns, block_log2;

    __device__ int at(int y, int x) const {
        return map ? map[static_cast<size_t>(y >> block_log2) * columns + (x >> block_log2)] : one;
    }
};

// qualities: of a picture of so many columns of latents. map: theirs in device memory, if they have one.
inline DeviceQualities device_qualities(const Qualities& qualities, const uint8_t* map, int columns) {
    if (qualities.is_one()) return {qualities.one(), nullptr, 0, kBlockLatentsLog2};
    return {0, map, (columns + (1 << kBlockLatentsLog2) - 1) >> kBlockLatentsLog2, kBlockLatentsLog2};
}

constexpr int kMaxLayers = 8;

struct TileProgram {
    int y0 = 0, x0 = 0, height, width;  // the rectangle of positions that is divided into tiles
    int steps = 0;          // 2 or 4: tiles are of one phase each, and the variant of a convolution is its phase
    bool quarters = false;  // whether there are four blocks for each tile, of which block blockIdx.y takes variant
                            // blockIdx.y of the convolutions, and writes that quarter of the planes in global memory
    const uint8_t* image;
    DeviceQualities qualities = {};
    int pitch = 0;  // the sum of the pitches of all regions

    // Before the first layer, planes are copied to shared memory. Of the last one, up to four positions at once: with
    // corners = 4 it has twice the resolution, and the positions (2y + i, 2x + j) become [2i + j][channels].
    struct Source {
        DevicePlane plane = {};
        int channels = 0, corners = 1;
        Region to;
    } sources[2];
    // Or, in the middle of a Block of FORMAT §8, plane t is copied and the depthwise convolution space(s) is computed.
    SpaceConv space;
    DevicePlane t = {}, s = {};
    Region t_to, s_to;

    int n_layers = 0;
    Layer layers[kMaxLayers];
    Heads heads = {};
};

// Whether a block of the smallest tiles fits the shared memory that a block can have on every device since sm_80.
bool fits(const TileProgram& program);

// Launches the kernel. Rectangles of more than `large` positions are divided into tiles of 32 positions, not 16; and
// those of more than 4 * large into tiles of 64. If those do not fit shared memory, the tiles are smaller. The results
// do not depend on it. The caller holds a DeviceGuard.
void run_tiles(const TileProgram& program, int64_t large, Launch where);

}  // namespace aec
