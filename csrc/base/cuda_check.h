// What every .cu file uses to check errors (AEC_CUDA_CHECK), to select a device (DeviceGuard) and to launch a kernel
// (run_kernel). There is one of each, so that no launch goes unchecked.
#pragma once

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

#include "base/launch.h"

#define AEC_CUDA_CHECK(call)                                                                                  \
    do {                                                                                                      \
        const cudaError_t aec_error = (call);                                                                 \
        if (aec_error != cudaSuccess)                                                                         \
            throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(aec_error) + " in " + #call); \
    } while (0)

namespace aec {

// Makes `device` the current CUDA device of this thread, and restores the previous one at the end of the scope.
class DeviceGuard {
public:
    explicit DeviceGuard(int device) {
        AEC_CUDA_CHECK(cudaGetDevice(&previous_));
        if (device == previous_) return;
        AEC_CUDA_CHECK(cudaSetDevice(device));
        changed_ = true;
    }
    ~DeviceGuard() {
        if (changed_) cudaSetDevice(previous_);
    }
    DeviceGuard(const DeviceGuard&) = delete;
    DeviceGuard& operator=(const DeviceGuard&) = delete;

private:
    int previous_ = 0;
    bool changed_ = false;
};

// The same as kernel<<<grid, block, shared_bytes, stream>>>(arguments...), written as a function call because g++ must
// be able to compile it for tests/cuda_emulation. An empty grid launches nothing, where CUDA would report an error. The
// caller holds a DeviceGuard for where.device.
template <class... Parameters, class... Arguments>
void run_kernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, Launch where,
                Arguments... arguments) {
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    if (shared_bytes > 48 * 1024)  // a kernel gets more than this only after it has asked for it
        AEC_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                            static_cast<int>(shared_bytes)));
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = reinterpret_cast<cudaStream_t>(where.stream);
    AEC_CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, arguments...));
}

}  // namespace aec
