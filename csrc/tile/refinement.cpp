#include "tile/refinement.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "base/range.h"

namespace aec {
namespace {

constexpr int kChannels = 3;
constexpr float kRange = 255 * kPixelUnit;  // from black to white
constexpr int kTunes = 3;
constexpr const char* kNames[kTunes] = {"mse", "eye", "ms-ssim"};
constexpr int kIterations[kTunes][kMaxEffort] = {
    {0, 2, 3, 4, 5, 7, 9, 12, 16},
    {0, 0, 1, 2, 4, 6, 8, 12, 16},
    {},
};
// The step for the eye, as a share of a Newton step, at the lowest and at the highest level. It is smaller at high
// levels, where SSIMULACRA 2 resembles a squared error less. Tuned at levels 8 to 100.
constexpr double kShareLow = 0.06, kShareHigh = 0.02;
constexpr double kMomentum = 0.7;
// log(lambda) is linear in the level, between these ends at levels 1 and kTopLevel.
constexpr double kLambdaLow = 0.0007, kLambdaHigh = 0.6, kTopLevel = 100;

// A decoded sample in the unit of the original.
float shown(uint16_t sample) { return static_cast<float>(sample) * (kRange / 65535) - kRange / 2; }

int16_t to_latent(float x) { return static_cast<int16_t>(round_even(std::clamp(x, -32768.0f, 32767.0f))); }

}  // namespace

Tune tune_of(const std::string& name) {
    for (int i = 0; i < kTunes; ++i)
        if (name == kNames[i]) return static_cast<Tune>(i);
    throw std::invalid_argument("tune " + name + ": allowed are mse, eye, ms-ssim");
}

int iterations_of(Tune tune, int effort) {
    return kIterations[static_cast<int>(tune)][in_range(effort, 1, kMaxEffort, "effort") - 1];
}

double lambda_of(double level) {
    return kLambdaLow * std::pow(kLambdaHigh / kLambdaLow, (level - 1) / (kTopLevel - 1));
}

Refinement::Refinement(std::shared_ptr<const Projection> projection, TileInput seen, const Rect& size, const Rect& tile,
                       Tune tune, int effort, double level, Vector<int16_t> latents, int threads)
    : projection_(std::move(projection)), seen_(std::move(seen)), size_(size), tile_(tile), tune_(tune),
      n_(iterations_of(tune, effort)), share_(kShareLow + (kShareHigh - kShareLow) * (level - 1) / (kMaxLevel - 1)),
      weight_(lambda_of(level) * size.rows() * size.columns()), target_(std::move(latents)), best_(target_) {
    const auto whole = [](int n) { return (n + kLatentStride - 1) / kLatentStride; };
    const size_t positions = size_t(whole(tile.rows())) * whole(tile.columns());
    if (target_.size() != positions * projection_->latents())
        throw std::invalid_argument("the latents are not those of the tile");
    errors_ = Buffer<int16_t>(positions * kLatentStride * kLatentStride * kChannels);
    change_ = Buffer<int16_t>(target_.size());
    if (tune != Tune::kEye) return;
    momentum_.resize(target_.size());
    if (std::min(size.rows(), size.columns()) < PerceivedError::kMinSide) return;
    eye_ = std::make_unique<PerceivedError>(size.rows(), size.columns(), seen_.data.get(),
                                            ptrdiff_t{kChannels} * seen_.columns, threads);
    slope_ = Buffer<float>(size_t{kChannels} * size.rows() * size.columns());
}

bool Refinement::accept(uint64_t n_bytes, const uint16_t* decoded, int channels, const int16_t* latents, int threads) {
    const bool is_last = done_ == n_;  // the result of the last iteration is only measured
    const double loss =
        8 * static_cast<double>(n_bytes) + weight_ * distortion_of(decoded, channels, !is_last, threads);
    if (loss < lowest_) {
        lowest_ = loss;
        best_ = target_;
    }
    if (is_last) return false;
    find_errors(decoded, channels, threads);
    const auto whole = [](int n) { return (n + kLatentStride - 1) / kLatentStride; };
    projection_->run(whole(tile_.rows()), whole(tile_.columns()), errors_.get(), change_.get(), threads);
    step(latents);
    ++done_;
    return true;
}

// 255^2 times the mean squared error, or a mixture of that with SSIMULACRA 2. Sums have a fixed order: a row's, and
// then that of the rows.
double Refinement::distortion_of(const uint16_t* decoded, int channels, bool with_slope, int threads) {
    const int columns = size_.columns();
    Vector<double> sums(size_.rows());
    parallel_for(threads, size_.rows(), [&](int64_t y) {
        const int16_t* x = seen_.row(static_cast<int>(y));
        const uint16_t* from = decoded + y * columns * channels;
        double sum = 0;
        for (int i = 0; i < columns * kChannels; ++i) {
            const float apart = x[i] - shown(from[channels == 1 ? i / kChannels : i]);
            sum += apart * apart;
        }
        sums[y] = sum;
    });
    double squared = 0;
    for (const double sum : sums) squared += sum;
    squared *= (255 / kRange) * (255 / kRange) / (static_cast<double>(columns) * size_.rows() * kChannels);
    if (!eye_) return squared;
    return kSquaredError * squared + kPerceivedError * kPerceivedWeight *
                                         eye_->measure(decoded, channels, with_slope ? slope_.get() : nullptr, threads);
}

// Of the tile's pixels: original minus decoded; or, for the eye, the errors whose squared error has the same gradient.
void Refinement::find_errors(const uint16_t* decoded, int channels, int threads) {
    const int columns = size_.columns(), width = (tile_.columns() + kLatentStride - 1) / kLatentStride * kLatentStride;
    const int height = (tile_.rows() + kLatentStride - 1) / kLatentStride * kLatentStride;
    const ptrdiff_t plane = static_cast<ptrdiff_t>(columns) * size_.rows();
    // The gradient of 255^2 times the mean squared error is -2 * 255^2 / n times the errors. This scales the gradient
    // of SSIMULACRA 2 to errors of the same effect.
    const float scale =
        static_cast<float>(-kPerceivedError * kPerceivedWeight * plane * kChannels / (2 * 255 * 255) * kRange);
    parallel_for(threads, height, [&](int64_t row) {
        int16_t* const to = errors_.get() + row * width * kChannels;
        std::fill_n(to, width * kChannels, int16_t{0});
        if (row >= tile_.rows()) return;
        const int y = tile_.y0 + static_cast<int>(row);
        const int16_t* x = seen_.row(y) + ptrdiff_t{kChannels} * tile_.x0;
        const uint16_t* from = decoded + (static_cast<ptrdiff_t>(y) * columns + tile_.x0) * channels;
        const float* slopes = eye_ ? slope_.get() + static_cast<ptrdiff_t>(y) * columns + tile_.x0 : nullptr;
        for (int i = 0; i < tile_.columns(); ++i)
            for (int c = 0; c < kChannels; ++c) {
                float error = x[i * kChannels + c] - shown(from[channels == 1 ? i : i * kChannels + c]);
                if (eye_) {
                    // A gray sample is repeated in three channels, so each has a third of its gradient.
                    const float slope = channels == 1 ? (slopes[i] + slopes[plane + i] + slopes[2 * plane + i]) / 3
                                                      : slopes[c * plane + i];
                    error = kSquaredError * error + scale * slope;
                }
                constexpr float kMost = Projection::kLargestError;
                to[i * kChannels + c] = static_cast<int16_t>(round_even(std::clamp(error, -kMost, kMost)));
            }
    });
}

void Refinement::step(const int16_t* latents) {
    const int16_t* change = change_.get();
    const size_t n = target_.size();
    if (tune_ != Tune::kEye) {
        for (size_t i = 0; i < n; ++i) target_[i] = saturate(latents[i] + change[i]);
        return;
    }
    momentum_left_ *= kMomentum;
    const float factor = static_cast<float>((1 - done_ / (n_ + 1.0)) * share_ / (1 - momentum_left_));
    constexpr float kOld = kMomentum, kNew = 1 - kMomentum;
    for (size_t i = 0; i < n; ++i) {
        momentum_[i] = kOld * momentum_[i] + kNew * change[i];
        target_[i] = to_latent(target_[i] + factor * momentum_[i]);
    }
}

}  // namespace aec
