// Where a launcher launches to; free of CUDA's headers.
#pragma once

#include <cstdint>

namespace aec {

struct Launch {
    int device;
    uintptr_t stream;  // cudaStream_t
};

}  // namespace aec
