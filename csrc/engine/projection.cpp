#include "engine/projection.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "base/buffer.h"
#include "base/parallel.h"

namespace aec {
namespace {

constexpr int kChannels = 3, kAll = kLatentStride * kLatentStride * kChannels;
constexpr int kLatents = 16;  // positions of latents that a thread computes at a time

// For number `at` of a square of pixels [16 rows][16 columns][3]: its output channel in the file, which has the order
// of torch's PixelUnshuffle(16), [3][16 rows][16 columns].
int output_of(int at) { return at % kChannels * kLatentStride * kLatentStride + at / kChannels; }

}  // namespace

Projection::Projection(int latents, const Tensors& tensors) : latents_(latents) {
    if (latents < 1 || latents > kMaxChannels) throw std::invalid_argument("channels must be 1 to 16384");
    const Reader reader(tensors);
    const int16_t* weight = reader.at<int16_t>("shortcut.weight", {kAll, latents, 1, 1});
    const uint8_t* shift = reader.at<uint8_t>("shortcut.shift", {kAll});
    if (shift[0] > kMaxShift) fail("shortcut", "has a shift above " + std::to_string(kMaxShift));
    // How much a pixel changes, in units of 1/32 level, when a latent changes by 2^-12 and the weight is 1. The
    // synthesis multiplies w * latent, and shifts it right by 8 and by `shift` to get units of 2^-kPixelBits of a
    // level.
    const double unit = std::ldexp(double{kPixelUnit}, -8 - kPixelBits - shift[0]);
    Vector<int16_t> packed(static_cast<size_t>(latents) * kAll);
    Vector<uint8_t> shifts(latents);
    for (int m = 0; m < latents; ++m) {
        double energy = 0, sum = 0, largest = 0;
        for (int o = 0; o < kAll; ++o) {
            const double w = weight[static_cast<ptrdiff_t>(o) * latents + m];
            energy += w * w;
            sum += std::abs(w);
            largest = std::max(largest, std::abs(w));
        }
        if (energy == 0) continue;  // no pixel depends on this latent: its change is always 0
        const double scale = 1 / (unit * energy);
        // The largest shift, for the best precision, with which the weights fit int16 and accumulators cannot overflow.
        // Both bounds allow for the rounding of each weight by up to 1/2.
        int s = kMaxShift;
        const auto fits = [&] {
            const double factor = std::ldexp(scale, s);
            return largest * factor + 1 <= kMaxMagnitude - 1 &&
                   (sum * factor + kAll) * kLargestError + half_of(s) < double{kAccumulatorLimit};
        };
        while (s > 0 && !fits()) --s;
        if (!fits()) continue;  // the latent changes pixels so little that its weights do not fit: its change is 0
        shifts[m] = static_cast<uint8_t>(s);
        for (int at = 0; at < kAll; ++at) {
            const double w = weight[static_cast<ptrdiff_t>(output_of(at)) * latents + m];
            packed[static_cast<size_t>(m) * kAll + at] = static_cast<int16_t>(std::lround(std::ldexp(w * scale, s)));
        }
    }
    const Vector<int32_t> bias(latents);
    weights_ = pack({latents, kAll, packed.data(), bias.data(), shifts.data()});
}

void Projection::run(int rows, int columns, const int16_t* errors, int16_t* out, int threads) const {
    const Kernels& kernels = kernels_of(current_isa());
    const ptrdiff_t row_stride = static_cast<ptrdiff_t>(columns) * kLatentStride * kChannels;
    const int n = (columns + kLatents - 1) / kLatents, padded = static_cast<int>(weights_.shift.size());
    const int64_t parts = int64_t{n} * rows;
    parallel(static_cast<int>(std::min<int64_t>(threads, parts)), 1, [&](Team& team, int) {
        Buffer<int16_t> gathered(kLatents * size_t{kAll}), found(static_cast<size_t>(kLatents) * padded);
        team.each(parts, [&](int64_t i) {
            const int y = static_cast<int>(i / n), x0 = static_cast<int>(i % n) * kLatents;
            const int count = std::min(kLatents, columns - x0);
            constexpr int kRow = kLatentStride * kChannels;
            for (int k = 0; k < count; ++k)
                for (int row = 0; row < kLatentStride; ++row)
                    std::copy_n(errors + (y * kLatentStride + row) * row_stride + static_cast<ptrdiff_t>(x0 + k) * kRow,
                                kRow, gathered.get() + k * kAll + row * kRow);
            kernels.pointwise(weights_.view(), {gathered.get(), kAll, count, found.get(), padded});
            for (int k = 0; k < count; ++k)
                std::copy_n(found.get() + static_cast<ptrdiff_t>(k) * padded, latents_,
                            out + (static_cast<ptrdiff_t>(y) * columns + x0 + k) * latents_);
        });
    });
}

}  // namespace aec
