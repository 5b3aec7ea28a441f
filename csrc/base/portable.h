// One source for g++ and nvcc: AEC_HD marks what runs on both sides.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __CUDACC__
#define AEC_HD __host__ __device__ __forceinline__
#else
#define AEC_HD static inline  // static: isa.h says why
#endif
