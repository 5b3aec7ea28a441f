// The work on rows of perceived_error.h, which each instruction set compiles for itself (base/isa.h says why). All give
// the same numbers: operations are the same in the same order, and none is fused with another.
#pragma once

#include "base/portable.h"

namespace aec {

// Planes of a row are `plane` floats apart: red, green, blue; or X, Y, B.
struct PlanesOfRow {
    float* data;
    ptrdiff_t plane;
};

constexpr int kBlurRadius = 4;

// The arguments of a row's errors: the original a and the decoded b, in XYB, and what is made of them.
struct ErrorRows {
    const float *a, *b, *mean_a, *mean_b;
    float *variances, *ratio;  // as `errors` writes and `slopes` reads them
};

struct PerceivedKernels {
    // Linear light to XYB.
    void (*xyb)(PlanesOfRow linear, int n, PlanesOfRow out);
    // The gradient with respect to XYB into that with respect to the linear light that it was made of.
    void (*back_to_linear)(PlanesOfRow linear, PlanesOfRow by_xyb, int n, PlanesOfRow out);
    // What is blurred, besides b: a^2 + b^2, and (a - b)^2.
    void (*products)(const float* a, const float* b, int n, float* squares, float* difference);
    // A Gaussian blur of one row. in: the first of 2 kBlurRadius + 1 rows, row_stride floats apart. padded: scratch,
    // whose first and last kBlurRadius of n + 2 kBlurRadius floats are 0.
    void (*blur)(const float* in, ptrdiff_t row_stride, int n, float* padded, float* out);
    // The errors of a row. squares, difference: blurred products. found: scratch, two rows of n + 8 floats. Adds to
    // sums: of the errors of structure, artifacts and lost detail, and then of their 4th powers.
    void (*errors)(const ErrorRows& rows, const float* squares, const float* difference, int n, float* found,
                   double* sums);
    // The gradient of the errors' sums with respect to what they are made of. factors: of each error and of its cube.
    void (*slopes)(const ErrorRows& rows, int n, const float* factors, float* by_edge, float* by_mean,
                   float* by_variances, float* by_difference);
};

PerceivedKernels perceived_scalar();
PerceivedKernels perceived_avx2();

#ifdef AEC_PERCEIVED_KERNELS  // only the files that compile them define this
namespace {

constexpr float kC2 = 0.0009f;  // SSIM's second constant
// libjxl's kernel, a sum of three cosines (Charalampidis 2016). Its fifth weight is 0.
constexpr float kBlur[kBlurRadius + 1] = {0.2646211054881985f, 0.21292859201042216f, 0.10933537277746032f,
                                          0.03601111465836442f, 0.009414367809653745f};
constexpr float kOpsin[3][3] = {{0.30f, 0.622f, 0.078f},
                                {0.23f, 0.692f, 0.078f},
                                {0.24342268924547819f, 0.20476744424496821f, 0.5518098665095536f}};
constexpr float kOpsinBias = 0.0037930732552754493f, kCubeRootBias = 0.15595420054924863f;
constexpr float kOffsetX = 0.42f, kOffsetY = 0.01f, kOffsetB = 0.55f;

float absolute(float x) { return __builtin_fabsf(x); }

// 1 / cube root of x > 0. Cube roots of libraries differ from machine to machine. Of a float's bits, -1/3 is about the
// number wanted, with an error below 4 %; each step of Newton's squares the error.
float inverse_cube_root(float x) {
    int32_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    bits = 0x54A2FA8C - static_cast<int32_t>(static_cast<float>(bits) * (1 / 3.0f));
    float y;
    __builtin_memcpy(&y, &bits, sizeof y);
    const float third = x * (1 / 3.0f);
    for (int i = 0; i < 3; ++i) y = y * (4 / 3.0f - third * (y * y * y));
    return y;
}

float mixed(const float* weights, float red, float green, float blue) {
    return weights[0] * red + weights[1] * green + weights[2] * blue + kOpsinBias;
}

void xyb(PlanesOfRow linear, int n, PlanesOfRow out) {
    const float *red = linear.data, *green = red + linear.plane, *blue = green + linear.plane;
    float *__restrict to_x = out.data, *__restrict to_y = to_x + out.plane, *__restrict to_b = to_y + out.plane;
    for (int i = 0; i < n; ++i) {
        float roots[3];
        for (int k = 0; k < 3; ++k) {
            const float m = mixed(kOpsin[k], red[i], green[i], blue[i]), inverse = inverse_cube_root(m);
            roots[k] = m * (inverse * inverse) - kCubeRootBias;
        }
        const float x = (roots[0] - roots[1]) * 0.5f, y = (roots[0] + roots[1]) * 0.5f;
        to_x[i] = 14 * x + kOffsetX;
        to_y[i] = y + kOffsetY;
        to_b[i] = roots[2] - y + kOffsetB;
    }
}

void back_to_linear(PlanesOfRow linear, PlanesOfRow by_xyb, int n, PlanesOfRow out) {
    const float *red = linear.data, *green = red + linear.plane, *blue = green + linear.plane;
    const float *by_x = by_xyb.data, *by_y = by_x + by_xyb.plane, *by_b = by_y + by_xyb.plane;
    float *__restrict to_r = out.data, *__restrict to_g = to_r + out.plane, *__restrict to_b = to_g + out.plane;
    for (int i = 0; i < n; ++i) {
        const float half_y = (by_y[i] - by_b[i]) * 0.5f;
        float by_mixed[3] = {7 * by_x[i] + half_y, half_y - 7 * by_x[i], by_b[i]};
        for (int k = 0; k < 3; ++k) {
            const float inverse = inverse_cube_root(mixed(kOpsin[k], red[i], green[i], blue[i]));
            by_mixed[k] = by_mixed[k] * (inverse * inverse) * (1 / 3.0f);
        }
        to_r[i] = kOpsin[0][0] * by_mixed[0] + kOpsin[1][0] * by_mixed[1] + kOpsin[2][0] * by_mixed[2];
        to_g[i] = kOpsin[0][1] * by_mixed[0] + kOpsin[1][1] * by_mixed[1] + kOpsin[2][1] * by_mixed[2];
        to_b[i] = kOpsin[0][2] * by_mixed[0] + kOpsin[1][2] * by_mixed[1] + kOpsin[2][2] * by_mixed[2];
    }
}

void products(const float* a, const float* b, int n, float* __restrict squares, float* __restrict difference) {
    for (int i = 0; i < n; ++i) {
        squares[i] = a[i] * a[i] + b[i] * b[i];
        difference[i] = (a[i] - b[i]) * (a[i] - b[i]);
    }
}

void blur(const float* in, ptrdiff_t row_stride, int n, float* __restrict padded, float* __restrict out) {
    const float* const middle = in + kBlurRadius * row_stride;
    float* __restrict const down = padded + kBlurRadius;
    static_assert(kBlurRadius == 4, "the sums are written out, so that compilers keep them in registers");
    const ptrdiff_t s = row_stride;
    for (int i = 0; i < n; ++i)
        down[i] = kBlur[0] * middle[i] + kBlur[1] * (middle[i - s] + middle[i + s]) +
                  kBlur[2] * (middle[i - 2 * s] + middle[i + 2 * s]) +
                  kBlur[3] * (middle[i - 3 * s] + middle[i + 3 * s]) +
                  kBlur[4] * (middle[i - 4 * s] + middle[i + 4 * s]);
    for (int i = 0; i < n; ++i)
        out[i] = kBlur[0] * down[i] + kBlur[1] * (down[i - 1] + down[i + 1]) + kBlur[2] * (down[i - 2] + down[i + 2]) +
                 kBlur[3] * (down[i - 3] + down[i + 3]) + kBlur[4] * (down[i - 4] + down[i + 4]);
}

// SSIM's error without its luminance term. apart: the squared difference of the means.
float structure_of(float apart, float ratio) { return 1 - (1 - apart) * (1 - ratio); }
// Above 0: an artifact, an edge that the original does not have. Below: lost detail.
float edges_of(float a, float b, float mean_a, float mean_b) {
    return (1 + absolute(b - mean_b)) / (1 + absolute(a - mean_a)) - 1;
}

constexpr int kSums = 8;  // neighbouring numbers go to different sums, so that compilers can use vectors

void add_powers(const float* found, int n, float sign, double* sum, double* sum_of_4th) {
    double sums[kSums] = {}, powers[kSums] = {};
    for (int i = 0; i < n; i += kSums)
        for (int k = 0; k < kSums; ++k) {
            const float v = sign * found[i + k], error = v > 0 ? v : 0, square = error * error;
            sums[k] += error;
            powers[k] += square * square;
        }
    for (int k = 0; k < kSums; ++k) {
        *sum += sums[k];
        *sum_of_4th += powers[k];
    }
}

void errors(const ErrorRows& rows, const float* squares, const float* difference, int n, float* found, double* sums) {
    const float *a = rows.a, *b = rows.b, *mean_a = rows.mean_a, *mean_b = rows.mean_b;
    float *__restrict variances = rows.variances, *__restrict ratio = rows.ratio;
    float *__restrict structure = found, *__restrict edges = found + n + kSums;
    for (int i = 0; i < n; ++i) {
        const float apart = (mean_a[i] - mean_b[i]) * (mean_a[i] - mean_b[i]);
        const float v = squares[i] - mean_a[i] * mean_a[i] - mean_b[i] * mean_b[i] + kC2;
        const float r = (difference[i] - apart) / v;
        variances[i] = v;
        ratio[i] = r;
        structure[i] = structure_of(apart, r);
        edges[i] = edges_of(a[i], b[i], mean_a[i], mean_b[i]);
    }
    for (int k = 0; k < kSums; ++k) structure[n + k] = edges[n + k] = 0;
    add_powers(structure, n, 1, sums, sums + 3);
    add_powers(edges, n, 1, sums + 1, sums + 4);
    add_powers(edges, n, -1, sums + 2, sums + 5);
}

void slopes(const ErrorRows& rows, int n, const float* factors, float* __restrict by_edge, float* __restrict by_mean,
            float* __restrict by_variances, float* __restrict by_difference) {
    const float *a = rows.a, *b = rows.b, *mean_a = rows.mean_a, *mean_b = rows.mean_b;
    const float *variances = rows.variances, *ratio = rows.ratio;
    const float f0 = factors[0], f1 = factors[1], f2 = factors[2], f3 = factors[3], f4 = factors[4], f5 = factors[5];
    for (int i = 0; i < n; ++i) {
        const float between = mean_a[i] - mean_b[i], apart = between * between;
        const float s = structure_of(apart, ratio[i]), e = edges_of(a[i], b[i], mean_a[i], mean_b[i]);
        const float by_structure = s > 0 ? f0 + f3 * (s * s * s) : 0;
        const float by_edges = e > 0 ? f1 + f4 * (e * e * e) : e < 0 ? f5 * (e * e * e) - f2 : 0;
        const float weight = (1 - apart) / variances[i];
        const float by_apart = by_structure * (1 - ratio[i] - weight);
        const float of_difference = by_structure * weight, of_variances = -of_difference * ratio[i];
        const float beyond = b[i] - mean_b[i], sign = beyond > 0 ? 1.0f : beyond < 0 ? -1.0f : 0.0f;
        const float edge = by_edges * sign / (1 + absolute(a[i] - mean_a[i]));
        by_edge[i] = edge;
        by_variances[i] = of_variances;
        by_difference[i] = of_difference;
        by_mean[i] = -2 * mean_b[i] * of_variances - 2 * between * by_apart - edge;
    }
}

constexpr PerceivedKernels kKernels = {xyb, back_to_linear, products, blur, errors, slopes};

}  // namespace
#endif

}  // namespace aec
