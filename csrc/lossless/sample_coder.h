// Codes one sample as a few decisions (FORMAT §9.6). Three experts each think that the sample is distributed
// logistically around their mean, and two counters have seen how such decisions went before. Four mixers weigh what they
// say of a decision, and learn from it.
#pragma once

#include <algorithm>
#include <cstdlib>

#include "base/memory.h"
#include "lossless/logistic.h"

namespace aec {

constexpr int kFraction = 4;  // means and errors are in units of 2^-4 of a level
constexpr int kExperts = 3, kInputs = kExperts + 3;      // 2 counters and a constant
constexpr int kLevels = 48;                              // of energies
constexpr int kNodes = 112;                              // kinds of decisions
constexpr int kErrorKinds = 25, kMixers = 4;
constexpr int kCounterLimit = 60, kScaleLimit = 200;     // so many observations count
constexpr int32_t kMaxStretch = 2047, kMaxMixed = 2815;  // of 256 * ln(p / (1 - p))
constexpr int32_t kMaxWeight = 1 << 22;                  // of weights in units of 2^-16
constexpr int kRate = 10;
constexpr int64_t kWhole = int64_t{1} << 32;             // of a distribution

// The level of an energy, in half octaves. An energy is below 2^24, so its level is below kLevels.
inline int level_of(int64_t energy) {
    const uint32_t v = static_cast<uint32_t>(energy >> 2);
    if (v < 2) return static_cast<int>(v);
    const int top = 31 - __builtin_clz(v);
    return 2 * top + static_cast<int>(v >> (top - 1) & 1);
}

struct Rates {  // in units of 2^-16; after n observations
    uint32_t counter[kCounterLimit + 1], scale[kScaleLimit + 1];
    int32_t trust[kCounterLimit + 1];  // of a counter, in units of 2^-8
};

constexpr Rates make_rates() {
    Rates rates = {};
    for (uint32_t n = 0; n <= kCounterLimit; ++n) {
        rates.counter[n] = 65536 * 5 / (5 * n + 8);
        rates.trust[n] = static_cast<int32_t>(512 * n / (2 * n + 3));
    }
    for (uint32_t n = 0; n <= kScaleLimit; ++n) rates.scale[n] = 131072 / (2 * n + 3);
    return rates;
}

inline constexpr Rates kRates = make_rates();

inline int32_t stretched(int64_t one, int64_t zero) {
    const int32_t v = log_of(static_cast<uint64_t>(one)) - log_of(static_cast<uint64_t>(zero));
    return std::clamp(v, -kMaxStretch, kMaxStretch);
}

// The share of ones among the decisions that were seen, in units of 2^-16. It stays within 1..65535, because what is
// added is less than what is missing.
struct Counter {
    uint16_t ones = 1 << 15, seen = 0;

    int32_t stretch() const { return stretched(ones, 65536 - ones) * kRates.trust[seen] >> 8; }
    void learn(int decision) {
        const uint32_t part = (decision ? 65536u - ones : ones) * kRates.counter[seen] >> 16;
        ones = static_cast<uint16_t>(decision ? ones + part : ones - part);
        seen += seen < kCounterLimit;
    }
};

// The mean size of an expert's errors, in units of 2^-12 of a level.
struct Scale {
    int32_t mean = 0, seen = 0;

    void learn(int64_t error) {  // below 2^20
        mean += static_cast<int32_t>(((error << 8) - mean) * kRates.scale[seen] >> 16);
        seen += seen < kScaleLimit;
    }
};

// What is known of a sample before it is coded.
struct Known {
    int32_t means[kExperts];  // 0 .. 16 times the highest sample. The sample is compared with the last one.
    int levels[kExperts];     // of the energies that tell each expert's scale, together with:
    int others[kExperts];
    int energy, other, near;  // levels
    int errors;               // 0..24: the kinds of the errors on the left and above
};

template <class Coder>
class SampleCoder {
public:
    // bits: of a sample, 1..16; step: 2n + 1, where n is the largest error, 0..255.
    SampleCoder(Coder& coder, int bits, int step)
        : coder_(coder), step_(step), largest_error_(step / 2), highest_(static_cast<int>((1u << bits) - 1)),
          shift_(std::max(0, bits - 8)), scales_(kExperts * kLevels * kLevels), values_(257 * 2 * kNodes),
          errors_(kLevels * kErrorKinds * kNodes), mixers_(kMixers * kLevels * kNodes) {
        for (size_t i = 0; i < scales_.size(); ++i) {
            const int level = static_cast<int>(i) / kLevels % kLevels;
            scales_[i].mean = (level < 2 ? 1 : (2 + level % 2) << (level / 2 - 1)) << 7;
        }
    }

    // Codes a sample, 0..highest, and returns what a decoder makes of it. If the coder decodes, `sample` does not count.
    int code(const Known& known, int sample) {
        base_ = known.means[kExperts - 1] >> kFraction;
        for (int k = 0; k < kExperts; ++k) {
            mean_[k] = known.means[k];
            scale_[k] = &scales_[(k * kLevels + known.levels[k]) * kLevels + known.others[k]];
            inverse_[k] = (int64_t{109227} << 20) / (scale_[k]->mean + 136);
            inner_[k] = above(k, 1);
        }
        value_counters_ = &values_[(((base_ + 1) >> shift_) * 2 + (known.energy > 8)) * kNodes];
        error_counters_ = &errors_[(known.energy * kErrorKinds + known.errors) * kNodes];
        const int chosen[kMixers] = {known.energy, known.other, known.errors, known.near};
        for (int i = 0; i < kMixers; ++i) chosen_[i] = &mixers_[(i * kLevels + chosen[i]) * kNodes];

        // The decoded sample is base + q * step, within 0..highest. q is 1 or more, or 0 or less.
        const int q = steps(sample - base_ + largest_error_), most_q = steps(highest_ - base_ + largest_error_);
        up_ = most_q >= 1;
        if (up_) {
            for (int k = 0; k < kExperts; ++k) inputs_[k] = stretched(inner_[k] + 512, kWhole - inner_[k] + 512);
            up_ = decide(0, q >= 1);
        }
        for (int k = 0; k < kExperts; ++k) {
            if (!up_) inner_[k] = kWhole - inner_[k];
            outer_[k] = 0;
        }
        // m = 1, 2, .. counts the steps away from the base.
        const int m = up_ ? q : 1 - q, most = up_ ? most_q : 1 - steps(largest_error_ - base_);
        int log = 0;
        while (2 << log <= most && split(2 << log, (up_ ? 1 : 17) + log, m >= 2 << log)) ++log;
        int found = 1 << log;
        for (int i = log - 1, tree = 1; i >= 0; --i) {
            const int middle = found + (1 << i), depth = log - 1 - i;
            const int node = depth < 2 ? 33 + 4 * log + tree : 97 + depth;
            const int bit = middle <= most && split(middle, node, m >> i & 1);
            if (bit) found = middle;
            tree = 2 * tree + bit;
        }
        const int made = std::clamp(base_ + (up_ ? found : 1 - found) * step_, 0, highest_);
        for (int k = 0; k < kExperts; ++k) scale_[k]->learn(std::abs((made << kFraction) - mean_[k]));
        return made;
    }

private:
    struct Weights {  // their sum is about 1 at first, and the experts count most
        int32_t w[kInputs] = {22000, 22000, 22000, 6554, 6554, 0};
    };

    int steps(int distance) const {  // distance / step, rounded down
        return distance >= 0 ? distance / step_ : -((step_ - 1 - distance) / step_);
    }

    // The share of expert k's distribution above the lower edge of step q. The distance is below 2^22, and the inverse
    // below 2^30.
    int64_t above(int k, int q) const {
        const int64_t edge = 16 * (int64_t{base_} + int64_t{q} * step_ - largest_error_) - 8;
        return share_above((edge - mean_[k]) * inverse_[k] >> 20);
    }

    // Decides whether m >= middle. It lies between the m of the shares inner_ and outer_, which are then narrowed.
    int split(int middle, int node, int decision) {
        int64_t share[kExperts];
        for (int k = 0; k < kExperts; ++k) {
            share[k] = up_ ? above(k, middle) : kWhole - above(k, 2 - middle);
            inputs_[k] = stretched(share[k] - outer_[k] + 512, inner_[k] - share[k] + 512);
        }
        decision = decide(node, decision);
        for (int k = 0; k < kExperts; ++k) (decision ? inner_ : outer_)[k] = share[k];
        return decision;
    }

    int decide(int node, int decision) {
        Counter &value = value_counters_[node], &error = error_counters_[node];
        inputs_[kExperts] = value.stretch();
        inputs_[kExperts + 1] = error.stretch();
        inputs_[kExperts + 2] = 256;
        int64_t sums[kMixers] = {}, total = 0;  // below 2^38
        for (int k = 0; k < kMixers; ++k) {
            for (int i = 0; i < kInputs; ++i) sums[k] += int64_t{chosen_[k][node].w[i]} * inputs_[i];
            total += sums[k];
        }
        decision = coder_.code(decision, probability(total >> 18));
        for (int k = 0; k < kMixers; ++k) learn(chosen_[k][node], 65536 * decision - probability(sums[k] >> 16));
        value.learn(decision);
        error.learn(decision);
        return decision;
    }

    static int probability(int64_t stretch) {  // 1..65535
        return static_cast<int>(share_above(-std::clamp<int64_t>(stretch, -kMaxMixed, kMaxMixed)) >> 16);
    }

    void learn(Weights& weights, int error) {  // of 2^16 at most: the products are below 2^31
        for (int i = 0; i < kInputs; ++i) {
            const int32_t step = (inputs_[i] * error * kRate + (1 << 17)) >> 18;
            weights.w[i] = std::clamp(weights.w[i] + step, -kMaxWeight, kMaxWeight);
        }
    }

    Coder& coder_;
    const int step_, largest_error_, highest_, shift_;
    Vector<Scale> scales_;
    Vector<Counter> values_, errors_;
    Vector<Weights> mixers_;

    // Of the sample that is being coded:
    int base_ = 0, up_ = 0;
    int32_t mean_[kExperts] = {}, inputs_[kInputs] = {};
    Scale* scale_[kExperts] = {};
    int64_t inverse_[kExperts] = {}, inner_[kExperts] = {}, outer_[kExperts] = {};
    Counter *value_counters_ = nullptr, *error_counters_ = nullptr;
    Weights* chosen_[kMixers] = {};
};

}  // namespace aec
