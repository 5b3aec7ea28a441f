#include "rans/coder_vector.h"
#include "rans/simd_avx2.h"

namespace aec {

StreamDecoder avx2_decoder(uint32_t width) { return vector_decoder<Avx2, Avx2, Avx2>(width); }
StreamEncoder avx2_encoder(uint32_t width) { return vector_encoder<Avx2, Avx2, Avx2>(width); }

}  // namespace aec
