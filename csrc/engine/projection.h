// For encoders that decode what they have chosen and then improve it: how much each latent would have to change to
// correct the errors of the decoded picture.
#pragma once

#include "engine/pack.h"
#include "engine/program.h"

namespace aec {

// For each latent, the change that would make the squared error of the picture least, under two assumptions: that no
// other latent changes, and that the synthesis is its linear shortcut alone. With w the vector of pixel changes that
// the latent causes per unit, and e the vector of the errors of its 16x16 pixels, this change is <w, e> / <w, w>, the
// projection of e on w. It is computed as a convolution of the errors with the weights w / <w, w>.
class Projection {
public:
    // The largest magnitude that an error may have, in units of 1/32 of a level of an 8-bit sample. Errors of real
    // pictures are at most 255 * 32 = 8160.
    static constexpr int kLargestError = 1 << 13;

    // tensors: the same as for Synthesis, of which only the shortcut is used. Throws invalid_argument as Synthesis
    // does.
    Projection(int latents, const Tensors& tensors);

    int latents() const { return latents_; }

    // errors: [16 * rows][16 * columns][3], original minus decoded, contiguous. out: [rows][columns][latents()], the
    // changes with 12 fractional bits.
    void run(int rows, int columns, const int16_t* errors, int16_t* out, int threads) const;

private:
    int latents_;
    PackedPointwise weights_;
};

}  // namespace aec
