// Refinement: an encoder decodes its own symbols and improves the latents by the errors that it finds.
//
// The rounded latents of the analysis are only a first guess: training makes them smaller than the synthesis would
// like, to save bits, and the rounding errors of neighbouring latents overlap in the picture. So each iteration decodes
// the tile and projects the pixel errors on the latents: the synthesis has a linear shortcut, and the projection says
// by how much each latent, through that shortcut, would cancel the errors. This is a Newton step for the squared error,
// taken for each latent separately. Then the entropy networks choose all symbols again, dead zones included.
//
// For a model trained for squared error, full Newton steps are taken, starting from the decoded latents. For the model
// tuned for the eye, the error is a mixture of squared error and SSIMULACRA 2, and the gradient of the mixture takes
// the place of the pixel errors. SSIMULACRA 2 is not quadratic, so there the steps are small and use momentum. The best
// of all iterations is kept, judged by the real number of bytes and the decoded pixels.
//
// bench/ablations.md has the gains and costs. Sources: optimising the latents of each picture, Campos 2019
// (arXiv:1906.01223) and Yang 2020 (arXiv:2006.04240).
#pragma once

#include <limits>
#include <memory>
#include <string>

#include "base/memory.h"
#include "engine/projection.h"
#include "tile/perceived_error.h"
#include "tile/tile_input.h"

namespace aec {

// The distortion that a model was trained for.
enum class Tune { kSquaredError, kEye, kMsSsim };
Tune tune_of(const std::string& name);  // "mse", "eye" or "ms-ssim"; else invalid_argument

constexpr int kMaxEffort = 9;
// The number of iterations at an effort, 1 to kMaxEffort. A model for MS-SSIM alone is never refined.
int iterations_of(Tune tune, int effort);

// Lambda at a level, 1 to kMaxLevel: what a bit is worth (codec/coding/model_config.py).
double lambda_of(double level);

// Weights of squared error and SSIMULACRA 2 in the distortion for the model tuned for the eye. Training also has
// MS-SSIM in its mixture; here it would only improve MS-SSIM itself, and not the other quality measures.
constexpr float kSquaredError = 0.3f, kPerceivedError = 0.7f;
// SSIMULACRA 2's weighted sum of errors, times this weight, has about the same slope over the rate as 255^2 * MSE.
constexpr double kPerceivedWeight = 6;

// The margin around a tile, in latents, on which its errors are measured too, because changing the tile's latents
// changes the neighbours' pixels.
constexpr int kSeen = 2;

// The refinement of one tile. As long as `accept` returns true, the caller chooses symbols for target(), packs and
// decodes them, and calls `accept` with the result; then best() has the latents of the lowest cost.
class Refinement {
public:
    // seen: the tile and a margin around it. tile: where the tile lies within `seen`, in pixels. size: of `seen` in
    // pixels, without the padding beyond the picture's edges. level: the tile's; with a map, the mean level of its
    // blocks says how much bits are worth. latents: [tile's rows][columns][channels of the projection] of the analysis.
    Refinement(std::shared_ptr<const Projection> projection, TileInput seen, const Rect& size, const Rect& tile,
               Tune tune, int effort, double level, Vector<int16_t> latents, int threads);

    const Vector<int16_t>& target() const { return target_; }
    const Vector<int16_t>& best() const { return best_; }

    // n_bytes: of the packed symbols. decoded: [rows][columns][channels] of the area `seen`, 1 or 3 channels. latents:
    // the dequantised ones of the tile.
    bool accept(uint64_t n_bytes, const uint16_t* decoded, int channels, const int16_t* latents, int threads);

private:
    double distortion_of(const uint16_t* decoded, int channels, bool with_slope, int threads);
    void find_errors(const uint16_t* decoded, int channels, int threads);
    void step(const int16_t* latents);

    std::shared_ptr<const Projection> projection_;
    TileInput seen_;
    Rect size_, tile_;
    Tune tune_;
    int n_, done_ = 0;  // iterations
    double share_;      // of a Newton step
    double weight_;     // of the distortion against bits
    double lowest_ = std::numeric_limits<double>::infinity();
    double momentum_left_ = 1;  // kMomentum to the power of the steps that were taken
    Vector<int16_t> target_, best_;
    Vector<float> momentum_;
    Buffer<int16_t> errors_, change_;         // of the tile, padded to whole latents; and of its latents
    std::unique_ptr<PerceivedError> eye_;     // null if the distortion is the squared error alone
    Buffer<float> slope_;                     // [3][rows][columns] of `seen`
};

}  // namespace aec
