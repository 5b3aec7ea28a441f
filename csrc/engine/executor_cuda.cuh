// Runs a program (program.h) on a GPU, as a plan says (plan.h): a launch of tile_kernel (tile.cuh) for each round. It
// gives the integers that executor.h gives on a CPU.
#pragma once

#include "engine/plan.h"
#include "engine/program_image.h"
#include "engine/tile.cuh"

namespace aec {

class CudaExecution {
public:
    // net: must outlive this object. image: its bytes in device memory. workspace: [workspace_bytes] in device memory,
    // aligned to 256 bytes; null if only the size is asked for.
    CudaExecution(const ProgramImage& net, Plan plan, const uint8_t* image, uint8_t* workspace);

    uint64_t workspace_bytes() const { return bytes_; }

    // input: contains what the plan says is needed of the program's input plane, and has at least as many channels, a
    // multiple of 8. qualities: of the whole picture; their block_log2 is that of positions of resolution 1. large: as
    // of run_tiles. The caller holds a DeviceGuard. The kernels are only launched: nothing waits for them.
    void run(const DevicePlane& input, const DeviceQualities& qualities, int64_t large, Launch where);

    // The rectangle of the output plane, in the workspace.
    const DevicePlane& output() const { return planes_[net_.program.output]; }

    bool fits() const;  // whether run_tiles takes all of its programs

private:
    class Regions;

    TileProgram program_of(const Round& round) const;
    Layer layer_of(size_t i, int variant, const Round& round, const Regions& regions) const;
    bool is_read_between(size_t stage, size_t last, int plane) const;
    bool is_read_after(size_t stage, int plane) const;

    const ProgramImage& net_;
    const Plan plan_;
    const uint8_t* image_;
    std::vector<DevicePlane> planes_;  // without memory for planes that are local to a round, or the input
    uint64_t bytes_ = 0;
};

}  // namespace aec
