// The CUDA device and stream that a kernel is launched on, and how an array lies in the device's memory. This header
// needs none of CUDA's, so that files that are compiled without CUDA can include it.
#pragma once

#include <cstdint>

namespace aec {

struct Launch {
    int device;
    uintptr_t stream;  // cudaStream_t
};

struct Strides {  // of [channels, rows, columns], in elements
    int64_t channel, row, column;
};

}  // namespace aec
