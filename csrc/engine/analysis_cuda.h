// The transforms of an encoder on a GPU. They compute the integers of analysis.h.
//
// All pointers are to device memory that the caller owns. Nothing here allocates memory, copies to the host or waits
// for the device.
#pragma once

#include "base/launch.h"
#include "engine/analysis_image.h"

namespace aec {

struct CudaAnalysis {
    const AnalysisImage& net;
    Analysis::Picture picture;
    Rect given;  // of the pixels that are given, in positions of latents
    Rect area;   // as of Analysis::run
};

struct CudaHyperAnalysis {
    const HyperAnalysisImage& net;
    int rows, columns;  // of hyperlatents
    Qualities qualities;
};

// Where they are in device memory.
struct CudaAnalysisMemory {
    const uint8_t* image;  // the image's bytes
    const uint8_t* map;    // that of the qualities, if there is one
    uint8_t* workspace;    // [workspace_bytes], aligned to 256 bytes
    int64_t large;         // as of run_tiles (tile.cuh)
};

// Whether the networks' tiles fit the shared memory that a block can have on every device since sm_80.
bool fits(const AnalysisImage& net);
bool fits(const HyperAnalysisImage& net);

// The first throws invalid_argument as Analysis::run does.
uint64_t workspace_bytes(const CudaAnalysis& made);
uint64_t workspace_bytes(const CudaHyperAnalysis& made);

// pixels: [16 * given's rows][16 * given's columns][3], as in Analysis::Pixels, of magnitudes up to kLargestPixel; aligned
// to 16 bytes. out: [area's rows][area's columns][latents]. Throws as workspace_bytes does.
void analyse_cuda(const CudaAnalysis& made, const CudaAnalysisMemory& memory, const int16_t* pixels, int16_t* out,
                  Launch where);

// Where hyperlatents [rows][columns][channels] are in the workspace, of which the first are the network's, and the other
// channels are padding.
struct Hyperlatents {
    uint64_t offset;
    int channels;
};
Hyperlatents place_of(const CudaHyperAnalysis& made);

// latents: [4 * rows][4 * columns][channels], where channels are the latents' padded to a multiple of 8 with any numbers.
void analyse_cuda(const CudaHyperAnalysis& made, const CudaAnalysisMemory& memory, const int16_t* latents, int channels,
                  Launch where);

}  // namespace aec
