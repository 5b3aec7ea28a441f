// The logistic function and the logarithm, as tables of integers (FORMAT §9.2). No machine makes them with floating
// point, so all have the same.
#pragma once

#include "base/portable.h"

namespace aec {

constexpr int kLogisticSize = 4096;  // arguments from 0 to 16, in steps of 1/256

struct Logistic {
    uint32_t upper[kLogisticSize];  // 2^32 / (1 + e^(i / 256)): the share of a logistic distribution above i / 256
    int16_t logs[256];              // 256 * ln(1 + i / 256)
};

// Not constexpr: as data of the program the table would take 17 KB of the module for browsers.
inline Logistic make_logistic() {
    Logistic t = {};
    constexpr uint64_t kOne = uint64_t{1} << 62, kStep = 2139111402;  // e^(-1 / 256) in units of 2^-31
    uint64_t powers[kLogisticSize] = {};                              // e^(-i / 256) in units of 2^-62
    powers[0] = kOne;
    for (int i = 1; i < kLogisticSize; ++i) {
        const uint64_t p = powers[i - 1];  // p * kStep >> 31, which is made in two parts, because it takes 93 bits
        powers[i] = (p >> 31) * kStep + ((p & 0x7FFFFFFF) * kStep >> 31);
    }
    for (int i = 0; i < kLogisticSize; ++i)
        t.upper[i] = static_cast<uint32_t>(powers[i] / ((kOne + powers[i]) >> 32));
    for (int i = 0, k = 0; i < 256; ++i) {
        while ((powers[k + 1] >> 8) * (256 + i) >= kOne) ++k;
        t.logs[i] = static_cast<int16_t>(k);
    }
    return t;
}

inline const Logistic kLogistic = make_logistic();

// 2^32 times the share of the distribution above t / 256: 485 to 2^32 - 485.
inline int64_t share_above(int64_t t) {
    const int64_t at = t < 0 ? -t : t;
    const int64_t upper = kLogistic.upper[at < kLogisticSize ? at : kLogisticSize - 1];
    return t < 0 ? (int64_t{1} << 32) - upper : upper;
}

// 256 * ln(v), about; v is at least 1.
inline int32_t log_of(uint64_t v) {
    const int top = 63 - __builtin_clzll(v);
    return (top * 11357 >> 6) + kLogistic.logs[v << (63 - top) >> 55 & 255];
}

}  // namespace aec
