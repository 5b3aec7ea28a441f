// The entropy nets on a GPU: the integers of FORMAT §8, and so those of every other implementation.
//
// All pointers are device memory that the caller owns; nothing here allocates, copies or synchronises. For each segment
// k = 0 .. steps in order: predict_cuda, then choose_cuda or accept_cuda (walk.py says what they mean).
#pragma once

#include "base/launch.h"
#include "engine/nets_image.h"

namespace aec {

struct CudaWalk {  // one tile's
    NetLayout layout;
    int quality, height, width;  // of the latents
    int64_t large;               // planes of more positions than that are cut in tiles of 32 instead of 16
    const uint8_t* image;        // NetImage::bytes
    uint8_t* workspace;          // [workspace_bytes]; holds what later calls need
    float* latents;              // [latents][height][width], filled as they become known
};

// Whether tiles fit the shared memory that every device since sm_80 has.
bool fits(const NetLayout& layout);
uint64_t workspace_bytes(const NetLayout& layout, int height, int width);
int64_t segment_size(const NetsConfig& config, int height, int width, int k);

struct Strides {  // in elements
    int64_t channel, row, column;
};

// indexes, symbols: [segment_size]. values: z or y, [channels, rows, columns]. dead_zones: [kIndexCount], 0 or more.
void predict_cuda(const CudaWalk& walk, int k, uint8_t* indexes, Launch where);
void choose_cuda(const CudaWalk& walk, int k, const uint8_t* indexes, const int16_t* values, Strides strides,
                 const int16_t* dead_zones, int16_t* symbols, Launch where);
void accept_cuda(const CudaWalk& walk, int k, const int16_t* symbols, Launch where);

}  // namespace aec
