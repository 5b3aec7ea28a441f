#include "lossless/least_squares_kernels.h"

namespace aec {

LeastSquaresKernels least_squares_avx2() { return kKernels; }

}  // namespace aec
