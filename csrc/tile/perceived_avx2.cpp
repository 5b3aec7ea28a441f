#define AEC_PERCEIVED_KERNELS
#include "tile/perceived_kernels.h"

namespace aec {

PerceivedKernels perceived_avx2() { return kKernels; }

}  // namespace aec
