// What of a decoded picture's errors each latent could make up for: for encoders that choose symbols anew.
#pragma once

#include "engine/pack.h"
#include "engine/program.h"

namespace aec {

// The change of each latent with which the squared error would be least, were it to change alone and the synthesis its
// shortcut, which is linear: the errors' projection on what the latent adds to pixels.
class Projection {
public:
    static constexpr int kLargestError = 1 << 13;  // in units of 1/32 of a level of 8 bits: all that errors can be

    // tensors: as `Synthesis` takes them. Throws invalid_argument as that does.
    Projection(int latents, const Tensors& tensors);

    int latents() const { return latents_; }

    // errors: [16 * rows][16 * columns][3 channels], original less decoded, contiguous. out: [rows][columns][latents], in
    // units of 2^-12.
    void run(int rows, int columns, const int16_t* errors, int16_t* out, int threads) const;

private:
    int latents_;
    PackedPointwise weights_;
};

}  // namespace aec
