// The entropy networks on a GPU. They compute the integers of FORMAT §8, the same as on a CPU.
//
// All pointers are to device memory that the caller owns. Nothing here allocates memory, copies to the host or waits
// for the device. For each segment k = 0 .. steps in order, call predict_cuda and then choose_cuda (encoder) or
// accept_cuda (decoder). They do what the functions of class Walk do on a CPU (nets_cpu.h).
#pragma once

#include "base/launch.h"
#include "engine/nets_image.h"

namespace aec {

struct CudaWalk {  // the networks for one tile
    NetLayout layout;
    int quality, height, width;  // 1 to 100; the size of the latents
    int64_t large;               // planes with more positions than this are divided into tiles of 32 positions, not 16
    const uint8_t* image;        // NetImage::bytes
    uint8_t* workspace;          // [workspace_bytes]; keeps its content from one call to the next
    float* latents;              // [latents][height][width]; each step writes the latents that it makes known
};

// Whether the network's tiles fit the shared memory that a block can have on every device since sm_80.
bool fits(const NetLayout& layout);
uint64_t workspace_bytes(const NetLayout& layout, int height, int width);
int64_t segment_size(const NetsConfig& config, int height, int width, int k);

// indexes, symbols: [segment_size]. values: the hyperlatents (k = 0) or latents to quantise, [channels, rows, columns]
// with these strides, 12 fractional bits. dead_zones: [kIndexCount], as in choose_symbol (nets.h).
void predict_cuda(const CudaWalk& walk, int k, uint8_t* indexes, Launch where);
void choose_cuda(const CudaWalk& walk, int k, const uint8_t* indexes, const int16_t* values, Strides strides,
                 const int16_t* dead_zones, int16_t* symbols, Launch where);
void accept_cuda(const CudaWalk& walk, int k, const int16_t* symbols, Launch where);

}  // namespace aec
