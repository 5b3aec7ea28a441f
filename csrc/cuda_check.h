// The one throwing macro and the one device guard.
#pragma once

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

#define AEC_CUDA_CHECK(call)                                                                                  \
    do {                                                                                                      \
        const cudaError_t aec_error = (call);                                                                 \
        if (aec_error != cudaSuccess)                                                                         \
            throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(aec_error) + " in " + #call); \
    } while (0)

namespace aec {

class DeviceGuard {
public:
    explicit DeviceGuard(int device) {
        AEC_CUDA_CHECK(cudaGetDevice(&previous_));
        if (device != previous_) AEC_CUDA_CHECK(cudaSetDevice(device));
    }
    ~DeviceGuard() { cudaSetDevice(previous_); }
    DeviceGuard(const DeviceGuard&) = delete;
    DeviceGuard& operator=(const DeviceGuard&) = delete;

private:
    int previous_ = 0;
};

}  // namespace aec
