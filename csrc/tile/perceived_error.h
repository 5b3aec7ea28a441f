// The weighted sum of errors in SSIMULACRA 2.1, of which the score is a polynomial, and its gradient, for encoders that
// lower it. codec/picture/ssimulacra2.py explains the errors and computes the score.
//
// It is computed in floats, and decides what an encoder chooses. So that every machine chooses the same, nothing here
// is left to a library or to the order in which threads come: roots are computed by multiplications, and sums have
// fixed orders. No decoder depends on it.
#pragma once


#include "base/memory.h"
#include "engine/executor.h"
#include "tile/perceived_kernels.h"

namespace aec {

// Makes the tables that all share. Else the first thread that needs them does, and a process must not fork meanwhile:
// the child would wait for that thread for ever.
void prepare_perceived_error();

// For one original, with which many decoded pictures are compared. Two threads must not use it at the same time.
class PerceivedError {
public:
    static constexpr int kMinSide = 8;  // smallest side of a picture, and of a scale that a coarser one follows

    // original: [rows][columns][3], rows row_stride apart, in units of 1/32 of a level of 8 bits; 0 is mid-gray.
    PerceivedError(int rows, int columns, const int16_t* original, ptrdiff_t row_stride, int threads);

    // Returns the error: 0 for equal pictures, and about 50 if the score is 0. decoded: [rows][columns][channels], 1
    // or 3 channels. slope: receives the gradient with respect to the decoded samples, of which black is 0 and white is
    // 1, as if gray had three channels: [3][rows][columns]; null: it is not wanted.
    double measure(const uint16_t* decoded, int channels, float* slope, int threads);

private:
    static constexpr int kMostScales = 6;
    static constexpr int kRows = 32;  // rows that a thread works on at a time

    struct Planes {  // [3][rows][columns]
        float* data;
        int rows, columns;
        ptrdiff_t plane() const { return static_cast<ptrdiff_t>(rows) * columns; }
        float* at(int channel, int y) const { return data + channel * plane() + static_cast<ptrdiff_t>(y) * columns; }
        PlanesOfRow row(int y) const { return {at(0, y), plane()}; }
    };
    struct Scale {
        int rows, columns;
        Planes xyb, mean;                                // of the original
        Planes linear, by_linear;                        // the decoded picture, and the gradient
        Planes b, mean_b, variances, ratio, by_xyb;      // shared by all scales, which use them one after the other
        int chunks() const { return (rows + kRows - 1) / kRows; }
        ErrorRows error_rows(int channel, int y) const {
            return {xyb.at(channel, y),    b.at(channel, y),         mean.at(channel, y),
                    mean_b.at(channel, y), variances.at(channel, y), ratio.at(channel, y)};
        }
    };
    struct Scratch;

    void blur_original(const Scale& scale, int channel, int64_t chunk, Scratch& scratch) const;
    void find_errors(const Scale& scale, int channel, int64_t chunk, Scratch& scratch);
    double add_up(size_t number, float (*factors)[6]) const;
    void find_slopes(const Scale& scale, int channel, int64_t chunk, const float* factors, Scratch& scratch) const;
    void finish_slopes(size_t number, int64_t chunk, const uint16_t* decoded, int channels, float* slope) const;

    PerceivedKernels kernels_;
    Buffer<float> memory_;  // what the Planes point into
    Vector<Scale> scales_;
    Vector<double> row_sums_;  // [3][rows][6]
};

}  // namespace aec
