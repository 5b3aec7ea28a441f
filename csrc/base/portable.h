// Lets g++ and nvcc compile the same functions: AEC_HD marks those that run on the CPU (host) and on the GPU (device).
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __CUDACC__
#define AEC_HD __host__ __device__ __forceinline__
#else
#define AEC_HD static inline  // static: isa.h says why
#endif
