// The CUDA device and stream that a kernel is launched on. This header needs none of CUDA's, so that files that are
// compiled without CUDA can include it.
#pragma once

#include <cstdint>

namespace aec {

struct Launch {
    int device;
    uintptr_t stream;  // cudaStream_t
};

}  // namespace aec
