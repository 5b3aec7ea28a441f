// Codes the samples of one plane in rows (FORMAT §9). Encoder and decoder are the same code: they differ in what the
// range coder does with a decision.
#pragma once


#include "base/memory.h"
#include "base/stop.h"
#include "lossless/least_squares.h"
#include "lossless/predictors.h"

namespace aec {

using Samples = Plane<uint16_t>;
using Errors = Plane<int32_t>;  // sample minus prediction, in units of 2^-4 of a level

struct CodedPlane {
    const Samples* samples;
    const Errors* errors;
};

struct Rules {
    int bits;           // of a sample, 1..16
    int step;           // 2n + 1, where n is the largest error
    int feature_shift;  // by which features are shifted before they are multiplied
};

template <class Coder>
class PlaneCoder {
public:
    // before: the planes that were coded before this one, the last one first: at most two.
    PlaneCoder(Coder& coder, const LeastSquaresKernels& kernels, const Rules& rules,
               const Vector<CodedPlane>& before, int width, int height, Samples& samples, Errors& errors)
        : coder_(coder), kernels_(kernels), before_(before), template_(kTemplates[before.size()]), width_(width), height_(height),
          feature_shift_(rules.feature_shift), highest_(static_cast<int>((1u << rules.bits) - 1) << kFraction),
          samples_(samples), errors_(errors), misses_(width), sample_coder_(coder, rules.bits, rules.step) {
        const int blocks = (width + kBlock - 1) / kBlock;
        for (int k = 0; k < kFitted; ++k) {
            size_[k] = sums_size(template_.counts[k]);
            sums_[k].resize(static_cast<size_t>(size_[k]) * (blocks + 2));  // and one on either side, which stays 0
        }
    }

    // source: the first sample of the plane, and `stride` further the next, of which the lowest `drop` bits are not coded;
    // null for decoders. A decoder whose payload has ended leaves the rest of the rows as they are, so that a short payload
    // costs little time.
    void code(const uint16_t* source, int stride, int drop) {
        for (int y = 0; y < height_ && !coder_.past_end(); ++y) {
            check_stop();
            samples_.begin_row(y);
            errors_.begin_row(y);
            misses_.begin_row(y);
            for (int x = 0; x < width_; ++x) {
                code_sample(x, y, source ? *source >> drop : 0);
                if (source) source += stride;
            }
            samples_.end_row(y);
            errors_.end_row(y);
            misses_.end_row(y);
        }
    }

private:
    int32_t* sums(int k, int block) { return &sums_[k][static_cast<size_t>(size_[k]) * (block + 1)]; }

    void code_sample(int x, int y, int sample) {
        const int block = x / kBlock, slot = x % kBlock;
        for (int k = 0; k < kFitted && slot == 0; ++k)
            kernels_.solve(sums(k, block - 1), sums(k, block), sums(k, block + 1), template_.counts[k], weights_[k]);
        const int planes = 1 + static_cast<int>(before_.size()), stride = samples_.stride();
        uint16_t* here = samples_.row(y) + x;
        const uint16_t* at[3] = {here, nullptr, nullptr};
        for (int i = 1; i < planes; ++i) at[i] = before_[i - 1].samples->row(y) + x;
        int bases[3] = {};  // twice what a sample of a plane is compared with
        for (int i = 0; i < planes; ++i) bases[i] = at[i][-1] + at[i][-stride];

        int32_t means[kPredictors];
        predict(at, bases, planes, means);
        const int32_t *misses = misses_.at(x, y), *above = misses_.at(x, y - 1), *higher = misses_.at(x, y - 2);
        int32_t sizes[kPredictors];  // of the errors around; at most 2^23
        for (int k = 0; k < kPredictors; ++k)
            sizes[k] = 2 * (misses - kPredictors)[k] + 2 * above[k] + (above - kPredictors)[k] +
                       (above + kPredictors)[k] + (misses - 2 * kPredictors)[k] + higher[k];
        const int32_t mean = blended(means, sizes);

        Known known;
        describe(x, y, at[0], stride, known);
        for (int k = 0; k < kFitted; ++k) {
            known.means[k] = means[k];
            known.levels[k] = level_of(sizes[k]);
            known.others[k] = known.other;
        }
        known.means[kFitted] = mean;
        known.levels[kFitted] = known.energy;
        known.others[kFitted] = known.near;

        const int made = sample_coder_.code(known, sample);
        *here = static_cast<uint16_t>(made);
        errors_.row(y)[x] = (made << kFraction) - mean;
        for (int k = 0; k < kPredictors; ++k) misses_.at(x, y)[k] = std::abs((made << kFraction) - means[k]);
        learn(block, slot, 2 * made - bases[0], slot == kBlock - 1 || x == width_ - 1);
    }

    // features_ = twice what neighbours differ from their planes' bases; means = all predictions.
    void predict(const uint16_t* const* at, const int* bases, int planes, int32_t* means) {
        const int stride = samples_.stride();
        for (int i = 0; i < template_.counts[0]; ++i) {
            const Neighbour& n = template_.neighbours[i];
            features_[i] = 2 * at[n.plane][n.dy * stride + n.dx] - bases[n.plane];
        }
        for (int k = 0; k < kFitted; ++k) {
            const int64_t sum = kernels_.product(weights_[k], features_, template_.counts[k]) >> 13;
            means[k] = static_cast<int32_t>(std::clamp<int64_t>(8 * bases[0] + sum, 0, highest_));
        }
        predict_simply(at, planes, stride, means + kFitted);
        for (int k = kFitted; k < kPredictors; ++k) means[k] = std::clamp(means[k], 0, highest_);
    }

    // The mean of the predictions, in which each counts as its errors around are small: their inverse fourth power.
    static int32_t blended(const int32_t* means, const int32_t* sizes) {
        const uint32_t least = static_cast<uint32_t>(*std::min_element(sizes, sizes + kPredictors)) + 4;
        int64_t sum = 0, total = 0;  // total is at least 2^24
        for (int k = 0; k < kPredictors; ++k) {
            const int64_t share = (least << 8) / (static_cast<uint32_t>(sizes[k]) + 4), square = share * share;
            const int64_t weight = square * square >> 8;
            sum += weight * means[k];
            total += weight;
        }
        return static_cast<int32_t>(sum / total);
    }

    // How large and of which kind the errors around are: here, and where the plane before already has some.
    void describe(int x, int y, const uint16_t* here, int stride, Known& known) const {
        const auto size = [](int64_t v) { return v < 0 ? -v : v; };
        const int32_t *error = errors_.row(y) + x, *above = error - stride;
        const int64_t own = 2 * size(error[-1]) + 2 * size(above[0]) + size(above[-1]) + size(above[1]) +
                            size(error[-2]) + size(above[-stride]);
        if (before_.empty()) {
            const int n = here[-stride], nw = here[-stride - 1];
            const int64_t changes = size(here[-1] - nw) + size(n - here[-stride + 1]) + size(n - nw);
            known.other = level_of(changes << kFraction);
            known.energy = level_of(own);
        } else {
            const int32_t* there = before_[0].errors->row(y) + x;
            const int64_t other = 2 * size(there[0]) + size(there[1]) + size(there[stride]);
            known.other = level_of(2 * other);
            known.energy = level_of((5 * own + 6 * other) >> 3);
        }
        known.near = level_of(4 * (size(error[-1]) + size(above[0])));
        const auto kind = [&](int64_t v) {
            const int large = size(v) < own >> 4 ? 0 : size(v) < own >> 2 ? 1 : 2;
            return v < 0 ? 2 - large : 2 + large;
        };
        known.errors = 5 * kind(error[-1]) + kind(above[0]);
    }

    void learn(int block, int slot, int target, bool last) {
        const auto fitting = [&](int v) { return std::clamp(v >> feature_shift_, -kFeatureLimit, kFeatureLimit); };
        for (int k = 0; k < kFitted; ++k) {
            const int n = template_.counts[k];
            for (int i = 0; i < n; ++i) fitted_[k][slot][i] = fitting(features_[i]);
            fitted_[k][slot][n] = fitting(target);
            if (last) kernels_.add(sums(k, block), n, kDecays[k], fitted_[k][0], slot + 1);
        }
    }

    Coder& coder_;
    const LeastSquaresKernels& kernels_;
    const Vector<CodedPlane>& before_;
    const Template& template_;
    const int width_, height_, feature_shift_, highest_;
    Samples& samples_;
    Errors& errors_;
    RecentRows<kPredictors> misses_;
    SampleCoder<Coder> sample_coder_;
    int size_[kFitted];
    Vector<int32_t> sums_[kFitted];
    alignas(32) int32_t weights_[kFitted][kRow] = {}, features_[kRow] = {}, fitted_[kFitted][kBlock][kRow] = {};
};

}  // namespace aec
