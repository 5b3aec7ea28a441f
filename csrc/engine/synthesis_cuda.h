// The synthesis on a GPU. It computes the samples of synthesis.h, bit for bit.
//
// All pointers are to device memory that the caller owns. Nothing here allocates memory, copies to the host or waits
// for the device.
#pragma once

#include "base/launch.h"
#include "engine/synthesis_image.h"

namespace aec {

// What is to be made.
struct CudaSynthesis {
    const SynthesisImage& net;
    Synthesis::Picture picture;
    Rect given;  // the rectangle of latents that is given, in positions of latents
    Rect area;   // as of Synthesis::run
};

// Whether the networks' tiles fit the shared memory that a block can have on every device since sm_80.
bool fits(const SynthesisImage& net);

// Throws invalid_argument as Synthesis::run does.
uint64_t workspace_bytes(const CudaSynthesis& made);

// Where it is in device memory.
struct CudaSynthesisMemory {
    const uint8_t* image;   // SynthesisImage::bytes
    const uint8_t* map;     // that of the picture's qualities, if there is one
    const int16_t* latents; // [given's rows][given's columns][channels]
    int channels;           // the latents' channels, padded to a multiple of 8 with any numbers
    uint8_t* workspace;     // [workspace_bytes], aligned to 256 bytes
    int64_t large;          // as of run_tiles (tile.cuh)
};

// out: uint8 or uint16 [1 or 3, area's rows, area's columns], with these strides. Throws as workspace_bytes does.
template <class Sample>
void synthesise_cuda(const CudaSynthesis& made, const CudaSynthesisMemory& memory, Sample* out, Strides strides,
                     Launch where);

}  // namespace aec
