#include "lossless/lossless.h"

#include "base/isa.h"
#include "lossless/plane_coder.h"
#include "lossless/range_coder.h"

namespace aec {
namespace {

// Colours and alpha are coded apart, each with numbers of their own, of which the payload has two bytes.
struct Group {
    int bits;   // of a sample as it is coded, 1..depth
    int shift;  // of features
    int step;   // 2n + 1, where n is the largest error in levels of `bits` bits
};

constexpr uint64_t kGroupBytes = 2;

uint32_t top_of(int bits) { return (1u << bits) - 1; }

// A sample of `bits` bits, scaled to the whole range of `depth` bits.
uint32_t spread(uint32_t sample, int bits, int depth) { return (sample * top_of(depth) + top_of(bits) / 2) / top_of(bits); }

int colours_of(const ExactPicture& picture) { return picture.channels < 3 ? 1 : 3; }
bool has_alpha(const ExactPicture& picture) { return picture.channels % 2 == 0; }
size_t size_of(const ExactPicture& picture) { return static_cast<size_t>(picture.width) * picture.height; }

// The least number of bits of which `spread` makes the samples of the channels first..end-1.
int least_bits(const ExactPicture& picture, const uint16_t* samples, int first, int end) {
    const auto is_made = [&](int bits) {
        for (size_t i = 0; i < size_of(picture); ++i)
            for (int channel = first; channel < end; ++channel) {
                const uint32_t sample = samples[i * picture.channels + channel];
                if (spread(sample >> (picture.depth - bits), bits, picture.depth) != sample) return false;
            }
        return true;
    };
    int bits = 1;
    while (bits < picture.depth && !is_made(bits)) ++bits;
    return bits;
}

// Features of samples of 10 bits or fewer are within kFeatureLimit. Those of more bits are shifted, by as much as keeps
// about 5 bits of a usual difference between neighbours.
int most_shift(int bits) { return std::max(0, bits - 10); }

int choose_shift(const ExactPicture& picture, const uint16_t* samples, int channel, int bits) {
    if (most_shift(bits) == 0 || picture.width == 1) return 0;
    const int drop = picture.depth - bits;
    uint64_t sum = 0, n = 0;
    for (int y = 0; y < picture.height; ++y) {
        const uint16_t* row = samples + static_cast<size_t>(y) * picture.width * picture.channels + channel;
        for (int x = 1; x < picture.width; ++x, ++n)
            sum += static_cast<uint64_t>(
                std::abs((row[x * picture.channels] >> drop) - (row[(x - 1) * picture.channels] >> drop)));
    }
    int shift = 0;
    while (shift < most_shift(bits) && sum / n >> shift > 32) ++shift;
    return shift;
}

int step_of(const ExactPicture& picture, int bits) {
    return 2 * static_cast<int>(picture.largest_error * top_of(bits) / top_of(picture.depth)) + 1;
}

LeastSquaresKernels kernels() {
#if defined(__x86_64__)
    if (current_isa() == Isa::kAvx2 || current_isa() == Isa::kAvx512) return least_squares_avx2();
#endif
    return least_squares_scalar();
}

// Calls use(channel, samples, bits) for each plane in the order of coding, which is green, red, blue and alpha, after it
// was coded. Colours know of the colours before them; alpha knows of nothing.
template <class Coder, class Use>
void code_planes(Coder& coder, const ExactPicture& picture, const Group& colour, const Group& alpha,
                 const uint16_t* source, Use use) {
    constexpr int kOrder[4] = {1, 0, 2, 3};
    const int colours = colours_of(picture);
    const LeastSquaresKernels chosen = kernels();
    Vector<Samples> samples;
    Vector<Errors> errors;
    samples.reserve(picture.channels);
    errors.reserve(picture.channels);
    for (int i = 0; i < picture.channels; ++i) {
        const Group& group = i < colours ? colour : alpha;
        samples.emplace_back(picture.width, picture.height, static_cast<uint16_t>(1 << (group.bits - 1)));
        errors.emplace_back(picture.width, picture.height, 0);
        Vector<CodedPlane> before;
        for (int k = i - 1; k >= 0 && i < colours; --k) before.push_back({&samples[k], &errors[k]});
        const Rules rules = {group.bits, group.step, group.shift};
        const int channel = colours == 3 ? kOrder[i] : i;
        PlaneCoder<Coder> plane(coder, chosen, rules, before, picture.width, picture.height, samples[i], errors[i]);
        plane.code(source ? source + channel : nullptr, picture.channels, picture.depth - group.bits);
        use(channel, samples[i], group.bits);
    }
}

Vector<uint8_t> encoded(const ExactPicture& picture, const uint16_t* samples, int colour_bits, int alpha_bits) {
    const int colours = colours_of(picture);
    const Group colour = {colour_bits, choose_shift(picture, samples, 0, colour_bits), step_of(picture, colour_bits)};
    Group alpha = {};
    Vector<uint8_t> payload = {static_cast<uint8_t>(colour.bits), static_cast<uint8_t>(colour.shift)};
    if (has_alpha(picture)) {
        alpha = {alpha_bits, choose_shift(picture, samples, colours, alpha_bits), 1};
        payload.insert(payload.end(), {static_cast<uint8_t>(alpha.bits), static_cast<uint8_t>(alpha.shift)});
    }
    RangeEncoder coder(payload);
    code_planes(coder, picture, colour, alpha, samples, [](int, const Samples&, int) {});
    coder.finish();
    return payload;
}

Fault read_group(const uint8_t* head, int depth, Group& group) {
    group.bits = head[0];
    group.shift = head[1];
    if (group.bits < 1 || group.bits > depth) return {Status::kBits, 0, group.bits};
    if (group.shift > most_shift(group.bits)) return {Status::kFeatureShift, 0, group.shift};
    return {};
}

}  // namespace

Vector<uint8_t> encode_exact(const ExactPicture& picture, const uint16_t* samples) {
    const int colours = colours_of(picture), bits = least_bits(picture, samples, 0, colours);
    const int alpha_bits = has_alpha(picture) ? least_bits(picture, samples, colours, colours + 1) : 0;
    Vector<uint8_t> payload = encoded(picture, samples, bits, alpha_bits);
    // An error that is small beside a level of few bits helps more in the levels of the whole depth.
    if (picture.largest_error > 0 && bits < picture.depth) {
        Vector<uint8_t> other = encoded(picture, samples, picture.depth, alpha_bits);
        if (other.size() < payload.size()) payload.swap(other);
    }
    return payload;
}

Fault decode_exact(const uint8_t* payload, uint64_t size, const ExactPicture& picture, uint16_t* samples) {
    const uint64_t head = kGroupBytes * (has_alpha(picture) ? 2 : 1);
    if (size < head) return {Status::kPastEnd, 0, static_cast<int64_t>(size)};
    Group colour = {}, alpha = {};
    if (const Fault fault = read_group(payload, picture.depth, colour)) return fault;
    colour.step = step_of(picture, colour.bits);
    if (has_alpha(picture)) {
        if (const Fault fault = read_group(payload + kGroupBytes, picture.depth, alpha)) return fault;
        alpha.step = 1;
    }
    RangeDecoder coder(payload + head, size - head);
    code_planes(coder, picture, colour, alpha, nullptr, [&](int channel, const Samples& plane, int bits) {
        uint16_t* to = samples + channel;
        for (int y = 0; y < picture.height; ++y)
            for (int x = 0; x < picture.width; ++x, to += picture.channels)
                *to = static_cast<uint16_t>(spread(plane.row(y)[x], bits, picture.depth));
    });
    return {coder.finish(), 0, 0};
}

}  // namespace aec
