#include "rans/coder_vector.h"
#include "rans/simd_avx2.h"

namespace aec {

StreamCoder avx2_coder(uint32_t width) { return vector_coder<Avx2, Avx2, Avx2>(width); }

}  // namespace aec
