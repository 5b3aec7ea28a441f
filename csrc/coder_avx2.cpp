#include "coder_vector.h"
#include "simd_avx2.h"

namespace aec {

StreamCoder avx2_coder(uint32_t width) {
    switch (width) {
        case 8: return VectorCoder<Avx2, 8>::functions();
        case 16: return VectorCoder<Avx2, 16>::functions();
        case 32: return VectorCoder<Avx2, 32>::functions();
        default: return {};
    }
}

}  // namespace aec
