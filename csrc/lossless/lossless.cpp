#include "lossless/lossless.h"

#include "base/isa.h"
#include "lossless/plane_coder.h"
#include "lossless/range_coder.h"

namespace aec {
namespace {

constexpr uint64_t kHeadBytes = 2;  // bits, and the shift of features

// Features of samples of 10 bits or fewer are within kFeatureLimit. Those of more bits are shifted, by as much as keeps
// about 5 bits of a usual difference between neighbours.
int most_shift(int bits) { return std::max(0, bits - 10); }

int choose_shift(const ExactPicture& picture, const uint16_t* samples) {
    if (most_shift(picture.bits) == 0 || picture.width == 1) return 0;
    uint64_t sum = 0, n = 0;
    for (int y = 0; y < picture.height; ++y) {
        const uint16_t* row = samples + static_cast<size_t>(y) * picture.width * picture.channels;
        for (int x = 1; x < picture.width; ++x, ++n)
            sum += static_cast<uint64_t>(std::abs(row[x * picture.channels] - row[(x - 1) * picture.channels]));
    }
    int shift = 0;
    while (shift < most_shift(picture.bits) && sum / n >> shift > 32) ++shift;
    return shift;
}

LeastSquaresKernels kernels() {
#if defined(__x86_64__)
    if (current_isa() == Isa::kAvx2 || current_isa() == Isa::kAvx512) return least_squares_avx2();
#endif
    return least_squares_scalar();
}

// Calls use(number, channel, samples) for each plane in the order of coding, which is green, red, blue and alpha, after
// it was coded. Colours know of the colours before them; alpha knows of nothing.
template <class Coder, class Use>
void code_planes(Coder& coder, const ExactPicture& picture, int shift, const uint16_t* source, Use use) {
    constexpr int kOrder[4] = {1, 0, 2, 3};
    const int colours = picture.channels < 3 ? 1 : 3;
    const LeastSquaresKernels chosen = kernels();
    std::vector<Samples> samples;
    std::vector<Errors> errors;
    samples.reserve(picture.channels);
    errors.reserve(picture.channels);
    for (int i = 0; i < picture.channels; ++i) {
        samples.emplace_back(picture.width, picture.height, static_cast<uint16_t>(1 << (picture.bits - 1)));
        errors.emplace_back(picture.width, picture.height, 0);
        std::vector<CodedPlane> before;
        for (int k = i - 1; k >= 0 && i < colours; --k) before.push_back({&samples[k], &errors[k]});
        const Rules rules = {picture.bits, i < colours ? 2 * picture.largest_error + 1 : 1, shift};
        const int channel = colours == 3 ? kOrder[i] : i;
        PlaneCoder<Coder> plane(coder, chosen, rules, before, picture.width, picture.height, samples[i], errors[i]);
        plane.code(source ? source + channel : nullptr, picture.channels);
        use(channel, samples[i]);
    }
}

}  // namespace

std::vector<uint8_t> encode_exact(const ExactPicture& picture, const uint16_t* samples) {
    const int shift = choose_shift(picture, samples);
    std::vector<uint8_t> payload = {static_cast<uint8_t>(picture.bits), static_cast<uint8_t>(shift)};
    RangeEncoder coder(payload);
    code_planes(coder, picture, shift, samples, [](int, const Samples&) {});
    coder.finish();
    return payload;
}

Fault decode_exact(const uint8_t* payload, uint64_t size, const ExactPicture& picture, uint16_t* samples, int& bits) {
    if (size < kHeadBytes) return {Status::kPastEnd, 0, static_cast<int64_t>(size)};
    ExactPicture coded = picture;
    coded.bits = bits = payload[0];
    if (bits < 1 || bits > picture.bits || (picture.largest_error > 0 && bits != picture.bits))
        return {Status::kBits, 0, bits};
    const int shift = payload[1];
    if (shift > most_shift(bits)) return {Status::kFeatureShift, 0, shift};
    RangeDecoder coder(payload + kHeadBytes, size - kHeadBytes);
    code_planes(coder, coded, shift, nullptr, [&](int channel, const Samples& plane) {
        uint16_t* to = samples + channel;
        for (int y = 0; y < picture.height; ++y)
            for (int x = 0; x < picture.width; ++x, to += picture.channels) *to = plane.row(y)[x];
    });
    return {coder.finish(), 0, 0};
}

}  // namespace aec
