#include "lossless/least_squares_kernels.h"

namespace aec {

LeastSquaresKernels least_squares_scalar() { return kKernels; }

}  // namespace aec
