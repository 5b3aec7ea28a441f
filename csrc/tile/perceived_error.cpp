#include "tile/perceived_error.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/isa.h"
#include "engine/program.h"

namespace aec {
namespace {

constexpr int kChannels = 3, kSums = 6;  // of a row: three errors, and their 4th powers
constexpr int kRange = 255 * kPixelUnit;  // from black to white in the original
constexpr double kEpsilon = 1e-14;        // keeps the derivative of the fourth root finite at 0
constexpr double kTotal = 0.9562382616834844;

// In lines of a scale, first those of channel X, then of Y and of B - Y: weights of the means and of the 4-norms, each
// for the errors of structure, artifacts and lost detail. A picture with fewer than six scales uses the weights of
// missing ones for the next channel, as libjxl does.
constexpr double kWeights[] = {
    0.0, 0.0007376606707406586, 0.0, 0.0, 0.0007793481682867309, 0.0,
    0.0, 0.0004371155730107379, 0.0, 1.1041726426657346, 0.00066284834129271, 0.00015231632783718752,
    0.0, 0.0016406437456599754, 0.0, 1.8422455520539298, 11.441172603757666, 0.0,
    0.0007989109436015163, 0.000176816438078653, 0.0, 1.8787594979546387, 10.94906990605142, 0.0,
    0.0007289346991508072, 0.9677937080626833, 0.0, 0.00014003424285435884, 0.9981766977854967, 0.00031949755934435053,
    0.0004550992113792063, 0.0, 0.0, 0.0013648766163243398, 0.0, 0.0,
    0.0, 0.0, 0.0, 7.466890328078848, 0.0, 17.445833984131262,
    0.0006235601634041466, 0.0, 0.0, 6.683678146179332, 0.00037724407979611296, 1.027889937768264,
    225.20515300849274, 0.0, 0.0, 19.213238186143016, 0.0011401524586618361, 0.001237755635509985,
    176.39317598450694, 0.0, 0.0, 24.43300999870476, 0.28520802612117757, 0.0004485436923833408,
    0.0, 0.0, 0.0, 34.77906344483772, 44.835625328877896, 0.0,
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
    0.0, 0.0008680556573291698, 0.0, 0.0, 0.0, 0.0,
    0.0, 0.0005313191874358747, 0.0, 0.00016533814161379112, 0.0, 0.0,
    0.0, 0.0, 0.0, 0.0004179171803251336, 0.0017290828234722833, 0.0,
    0.0020827005846636437, 0.0, 0.0, 8.826982764996862, 23.19243343998926, 0.0,
    95.1080498811086, 0.9863978034400682, 0.9834382792465353, 0.0012286405048278493, 171.2667255897307,
    0.9807858872435379,
    0.0, 0.0, 0.0, 0.0, 0.0005130064588990679, 0.0, 0.00010854057858411537,
};

// The fifth root of x in 0..1.1, by Newton's method. It is the same on every machine, unlike a library's.
double fifth_root(double x) {
    double y = 1.1;
    for (int i = 0; i < 60; ++i) {
        const double y4 = y * y * y * y, next = y - (y - x / y4) / 5;
        if (next >= y) break;  // it falls until it is as near as it gets
        y = next;
    }
    return y;
}

// Samples of `levels` + 1 levels from 0 to 1 as linear light, and the slope of that.
struct Light {
    explicit Light(int levels) : linear(levels + 1), slope(levels + 1) {
        for (int i = 0; i <= levels; ++i) {
            const double x = static_cast<double>(i) / levels, u = (x + 0.055) / 1.055, root = fifth_root(u);
            const bool is_dark = x <= 0.04045;
            linear[i] = static_cast<float>(is_dark ? x / 12.92 : u * u * (root * root));           // u^2.4
            slope[i] = static_cast<float>(is_dark ? 1 / 12.92 : 2.4 / 1.055 * (u * (root * root)));  // u^1.4
        }
    }
    Vector<float> linear, slope;
};

// The tables outlive all calls, so no caller's memory is for them, whoever comes first.
Light lasting_light(int levels) {
    const MemoryScope own(nullptr);
    return Light(levels);
}

const Light& light_of_original() {
    static const Light light = lasting_light(kRange);
    return light;
}
const Light& light_of_decoded() {
    static const Light light = lasting_light(65535);
    return light;
}

// Averages squares of 2x2 pixels. With odd sides, the last row or column counts twice.
void halve_row(const float* top, const float* bottom, int n, float* out) {
    for (int x = 0; x < n / 2; ++x)
        out[x] = ((top[2 * x] + bottom[2 * x]) + (top[2 * x + 1] + bottom[2 * x + 1])) * 0.25f;
    if (n % 2 != 0) out[n / 2] = 2 * (top[n - 1] + bottom[n - 1]) * 0.25f;
}

template <class Planes>
void halve(const Planes& from, const Planes& to, int y) {
    for (int c = 0; c < kChannels; ++c)
        halve_row(from.at(c, 2 * y), from.at(c, std::min(2 * y + 1, from.rows - 1)), from.columns, to.at(c, y));
}

PerceivedKernels kernels_now() {
#ifdef __x86_64__
    if (current_isa() == Isa::kAvx2 || current_isa() == Isa::kAvx512) return perceived_avx2();
#endif
    return perceived_scalar();
}

}  // namespace

void prepare_perceived_error() {
    light_of_original();
    light_of_decoded();
}

// What a thread needs for a chunk of rows.
struct PerceivedError::Scratch {
    static constexpr int kAround = kRows + 2 * kBlurRadius;  // what the blur of a chunk reads

    explicit Scratch(int columns)
        : rows(size_t{4} * kAround * columns), padded(columns + 2 * kBlurRadius), found(2 * (columns + 8)),
          blurred(size_t{3} * columns) {
        std::fill_n(padded.get(), columns + 2 * kBlurRadius, 0.0f);
    }
    float* row(int number, int y, int columns) const {
        return rows.get() + (number * kAround + y) * ptrdiff_t{columns};
    }

    // Fills what the blur of rows y0 to y1 of a scale reads, with zeros beyond the picture.
    // numbers: how many are blurred. fill_row(y, at): makes the row `at` of each of them from row y of the scale.
    template <class Fill>
    void fill(const Scale& scale, int y0, int y1, int numbers, const Fill& fill_row) const {
        for (int y = y0 - kBlurRadius; y < y1 + kBlurRadius; ++y) {
            const int at = y - y0 + kBlurRadius;
            if (y >= 0 && y < scale.rows)
                fill_row(y, at);
            else
                for (int k = 0; k < numbers; ++k) std::fill_n(row(k, at, scale.columns), scale.columns, 0.0f);
        }
    }

    // A blur of rows that are `columns` long, which ends `padded` there.
    void blur(const PerceivedKernels& kernels, int number, int y, int columns, float* out) const {
        std::fill_n(padded.get() + kBlurRadius + columns, kBlurRadius, 0.0f);
        kernels.blur(row(number, y, columns), columns, columns, padded.get(), out);
    }

    Buffer<float> rows, padded, found, blurred;
};

PerceivedError::PerceivedError(int rows, int columns, const int16_t* original, ptrdiff_t row_stride, int threads)
    : kernels_(kernels_now()) {
    for (int h = rows, w = columns;; h = (h + 1) / 2, w = (w + 1) / 2) {
        scales_.push_back({h, w, {}, {}, {}, {}, {}, {}, {}, {}, {}});
        if (scales_.size() == kMostScales || std::min(h, w) < kMinSide) break;
    }
    size_t numbers = size_t{5} * kChannels * rows * columns;
    for (const Scale& scale : scales_) numbers += size_t{4} * kChannels * scale.rows * scale.columns;
    memory_ = Buffer<float>(numbers);
    float* next = memory_.get() + size_t{5} * kChannels * rows * columns;
    for (Scale& scale : scales_) {
        const ptrdiff_t size = ptrdiff_t{kChannels} * scale.rows * scale.columns;
        for (Planes* planes : {&scale.xyb, &scale.mean, &scale.linear, &scale.by_linear}) {
            *planes = {next, scale.rows, scale.columns};
            next += size;
        }
        float* shared = memory_.get();
        for (Planes* planes : {&scale.b, &scale.mean_b, &scale.variances, &scale.ratio, &scale.by_xyb}) {
            *planes = {shared, scale.rows, scale.columns};
            shared += size;
        }
    }
    row_sums_.resize(size_t{kChannels} * rows * kSums);

    const Light& light = light_of_original();
    parallel(std::min(threads, kChannels * scales_[0].chunks()), 3 * kMostScales, [&](Team& team, int) {
        Scratch scratch(columns);
        team.each(rows, [&](int64_t y) {
            for (int c = 0; c < kChannels; ++c)
                for (int x = 0; x < columns; ++x)
                    scales_[0].linear.at(c, static_cast<int>(y))[x] =
                        light.linear[original[y * row_stride + x * kChannels + c] + kRange / 2];
        });
        for (size_t i = 0; i < scales_.size(); ++i) {
            const Scale& scale = scales_[i];
            if (i > 0)
                team.each(scale.rows,
                          [&](int64_t y) { halve(scales_[i - 1].linear, scale.linear, static_cast<int>(y)); });
            team.each(scale.rows, [&](int64_t y) {
                kernels_.xyb(scale.linear.row(static_cast<int>(y)), scale.columns, scale.xyb.row(static_cast<int>(y)));
            });
            team.each(kChannels * scale.chunks(),
                      [&](int64_t j) { blur_original(scale, j % kChannels, j / kChannels, scratch); });
        }
    });
}

void PerceivedError::blur_original(const Scale& scale, int channel, int64_t chunk, Scratch& scratch) const {
    const int y0 = static_cast<int>(chunk) * kRows, y1 = std::min(y0 + kRows, scale.rows), n = scale.columns;
    scratch.fill(scale, y0, y1, 1,
                 [&](int y, int at) { std::copy_n(scale.xyb.at(channel, y), n, scratch.row(0, at, n)); });
    for (int y = y0; y < y1; ++y) scratch.blur(kernels_, 0, y - y0, n, scale.mean.at(channel, y));
}

double PerceivedError::measure(const uint16_t* decoded, int channels, float* slope, int threads) {
    const Light& light = light_of_decoded();
    const int columns = scales_[0].columns;
    double error = 0;
    float factors[kChannels][kSums];
    parallel(std::min(threads, kChannels * scales_[0].chunks()), 7 * kMostScales, [&](Team& team, int) {
        Scratch scratch(columns);
        team.each(scales_[0].rows, [&](int64_t y) {
            const uint16_t* from = decoded + y * columns * channels;
            for (int c = 0; c < kChannels; ++c)
                for (int x = 0; x < columns; ++x)
                    scales_[0].linear.at(c, static_cast<int>(y))[x] =
                        light.linear[from[x * channels + std::min(c, channels - 1)]];
        });
        for (size_t i = 1; i < scales_.size(); ++i)
            team.each(scales_[i].rows,
                      [&](int64_t y) { halve(scales_[i - 1].linear, scales_[i].linear, static_cast<int>(y)); });
        for (size_t i = scales_.size(); i-- > 0;) {  // from the coarsest, whose gradient the finer ones add to theirs
            const Scale& scale = scales_[i];
            const int n = kChannels * scale.chunks();
            team.each(scale.rows, [&](int64_t y) {
                kernels_.xyb(scale.linear.row(static_cast<int>(y)), scale.columns, scale.b.row(static_cast<int>(y)));
            });
            team.each(n, [&](int64_t j) { find_errors(scale, j % kChannels, j / kChannels, scratch); });
            team.each(1, [&](int64_t) { error += add_up(i, factors); });
            if (slope == nullptr) continue;
            team.each(n, [&](int64_t j) {
                find_slopes(scale, j % kChannels, j / kChannels, factors[j % kChannels], scratch);
            });
            team.each(scale.chunks(), [&](int64_t chunk) { finish_slopes(i, chunk, decoded, channels, slope); });
        }
    });
    return error;
}

void PerceivedError::find_errors(const Scale& scale, int channel, int64_t chunk, Scratch& scratch) {
    const int y0 = static_cast<int>(chunk) * kRows, y1 = std::min(y0 + kRows, scale.rows), n = scale.columns;
    scratch.fill(scale, y0, y1, 3, [&](int y, int at) {
        const float *a = scale.xyb.at(channel, y), *b = scale.b.at(channel, y);
        std::copy_n(b, n, scratch.row(0, at, n));
        kernels_.products(a, b, n, scratch.row(1, at, n), scratch.row(2, at, n));
    });
    float *const squares = scratch.blurred.get(), *const difference = squares + n;
    for (int y = y0; y < y1; ++y) {
        scratch.blur(kernels_, 0, y - y0, n, scale.mean_b.at(channel, y));
        scratch.blur(kernels_, 1, y - y0, n, squares);
        scratch.blur(kernels_, 2, y - y0, n, difference);
        double* const sums = row_sums_.data() + (static_cast<size_t>(channel) * scale.rows + y) * kSums;
        std::fill_n(sums, kSums, 0.0);
        kernels_.errors(scale.error_rows(channel, y), squares, difference, n, scratch.found.get(), sums);
    }
}

// Returns what a scale adds to the error. factors: receives what `find_slopes` needs for each channel.
double PerceivedError::add_up(size_t number, float (*factors)[6]) const {
    const Scale& scale = scales_[number];
    const double n = static_cast<double>(scale.rows) * scale.columns;
    double error = 0;
    for (int c = 0; c < kChannels; ++c) {
        const double* weights = kWeights + (c * scales_.size() + number) * kSums;
        double sums[kSums] = {};
        for (int y = 0; y < scale.rows; ++y)
            for (int k = 0; k < kSums; ++k) sums[k] += row_sums_[(static_cast<size_t>(c) * scale.rows + y) * kSums + k];
        for (int k = 0; k < 3; ++k) {
            const double norm = std::sqrt(std::sqrt(sums[3 + k] / n + kEpsilon));
            error += kTotal * (weights[k] * (sums[k] / n) + weights[3 + k] * norm);
            factors[c][k] = static_cast<float>(kTotal * weights[k] / n);
            factors[c][3 + k] = static_cast<float>(kTotal * weights[3 + k] / n / (norm * norm * norm));
        }
    }
    return error;
}

void PerceivedError::find_slopes(const Scale& scale, int channel, int64_t chunk, const float* factors,
                                 Scratch& scratch) const {
    const int y0 = static_cast<int>(chunk) * kRows, y1 = std::min(y0 + kRows, scale.rows), n = scale.columns;
    scratch.fill(scale, y0, y1, 3, [&](int y, int at) {
        kernels_.slopes(scale.error_rows(channel, y), n, factors, scratch.row(3, at, n), scratch.row(0, at, n),
                        scratch.row(1, at, n), scratch.row(2, at, n));
    });
    float *const by_mean = scratch.blurred.get(), *const by_variances = by_mean + n,
                 *const by_difference = by_variances + n;
    for (int y = y0; y < y1; ++y) {
        scratch.blur(kernels_, 0, y - y0, n, by_mean);  // the blur is symmetric, so this is also its way back
        scratch.blur(kernels_, 1, y - y0, n, by_variances);
        scratch.blur(kernels_, 2, y - y0, n, by_difference);
        const float *by_edge = scratch.row(3, y - y0 + kBlurRadius, n), *a = scale.xyb.at(channel, y),
                    *b = scale.b.at(channel, y);
        float* const out = scale.by_xyb.at(channel, y);
        for (int x = 0; x < n; ++x)
            out[x] = by_edge[x] + by_mean[x] + 2 * (b[x] * by_variances[x] - (a[x] - b[x]) * by_difference[x]);
    }
}

// From XYB to linear light, and what the next coarser scale adds; at the finest scale then to samples.
void PerceivedError::finish_slopes(size_t number, int64_t chunk, const uint16_t* decoded, int channels,
                                   float* slope) const {
    const Scale& scale = scales_[number];
    const Planes out = number == 0 ? Planes{slope, scale.rows, scale.columns} : scale.by_linear;
    const int y0 = static_cast<int>(chunk) * kRows, y1 = std::min(y0 + kRows, scale.rows), n = scale.columns;
    const Light& light = light_of_decoded();
    for (int y = y0; y < y1; ++y) {
        kernels_.back_to_linear(scale.linear.row(y), scale.by_xyb.row(y), n, out.row(y));
        for (int c = 0; c < kChannels; ++c) {
            float* const to = out.at(c, y);
            if (number + 1 <
                scales_.size()) {  // a pixel has a quarter of its mean's slope; a last one that counts twice, half
                const float* half = scales_[number + 1].by_linear.at(c, y / 2);
                const float share = scale.rows % 2 != 0 && y == scale.rows - 1 ? 0.5f : 0.25f;
                for (int x = 0; x < n / 2; ++x) {
                    to[2 * x] += share * half[x];
                    to[2 * x + 1] += share * half[x];
                }
                if (n % 2 != 0) to[n - 1] += 2 * share * half[n / 2];
            }
            if (number != 0) continue;
            const uint16_t* from = decoded + static_cast<ptrdiff_t>(y) * n * channels + std::min(c, channels - 1);
            for (int x = 0; x < n; ++x) to[x] *= light.slope[from[x * channels]];
        }
    }
}

}  // namespace aec
