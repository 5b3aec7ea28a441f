// Lossless WebP (RFC 9649, section 3). Pixels are ARGB in one number, as there.
#include <cstdlib>
#include <cstring>

#include "web/embedded.h"

namespace aec::web {
namespace {

constexpr int kMaxCodeLength = 15, kLengthCodes = 24, kDistanceCodes = 40, kMaxCacheBits = 11;
constexpr uint32_t kOpaqueBlack = 0xFF000000;

struct Damaged {};

class Bits {
public:
    explicit Bits(Span data) : data_(data) {}
    uint32_t read(int n) {
        uint32_t value = 0;
        for (int i = 0; i < n; ++i) value |= bit() << i;
        return value;
    }
    uint32_t bit() {
        if (at_ / 8 >= data_.size) throw Damaged();
        const uint32_t b = data_.data[at_ / 8] >> at_ % 8 & 1;
        ++at_;
        return b;
    }

private:
    Span data_;
    uint64_t at_ = 0;
};

// A canonical prefix code: how many codes have each length, and the symbols in the order of their codes.
class Code {
public:
    Code() = default;
    explicit Code(const std::vector<uint8_t>& lengths) : symbols_(lengths.size()) {
        for (const uint8_t length : lengths) ++counts_[length];
        const size_t used = lengths.size() - counts_[0];
        counts_[0] = 0;
        uint16_t next[kMaxCodeLength + 2] = {};
        int left = 1;
        for (int length = 1; length <= kMaxCodeLength; ++length) {
            left = 2 * left - counts_[length];
            if (left < 0) throw Damaged();
            next[length + 1] = next[length] + counts_[length];
        }
        for (size_t i = 0; i < lengths.size(); ++i)
            if (lengths[i]) symbols_[next[lengths[i]]++] = static_cast<uint16_t>(i);
        is_single_ = used == 1;  // takes no bits
        if (used == 0 || (left != 0 && !is_single_)) throw Damaged();
    }

    uint32_t read(Bits& bits) const {
        if (is_single_) return symbols_[0];
        int code = 0, first = 0, index = 0;
        for (int length = 1; length <= kMaxCodeLength; ++length) {
            code |= bits.bit();
            const int count = counts_[length];
            if (code - count < first) return symbols_[index + (code - first)];
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        throw Damaged();
    }

private:
    uint16_t counts_[kMaxCodeLength + 1] = {};
    std::vector<uint16_t> symbols_;
    bool is_single_ = false;
};

Code read_code(Bits& bits, uint32_t letters) {
    std::vector<uint8_t> lengths(letters);
    if (bits.read(1)) {
        const bool has_second = bits.read(1);
        const uint32_t first = bits.read(bits.read(1) ? 8 : 1);
        if (first >= letters) throw Damaged();
        lengths[first] = 1;
        if (has_second) {
            const uint32_t second = bits.read(8);
            if (second >= letters) throw Damaged();
            lengths[second] = 1;
        }
        return Code(lengths);
    }
    static constexpr uint8_t kOrder[] = {17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    std::vector<uint8_t> of_lengths(sizeof kOrder);
    const uint32_t n = 4 + bits.read(4);
    for (uint32_t i = 0; i < n; ++i) of_lengths[kOrder[i]] = static_cast<uint8_t>(bits.read(3));
    const Code code(of_lengths);
    uint32_t left = letters;
    if (bits.read(1)) {
        left = bits.read(2 + 2 * bits.read(3)) + 2;
        if (left > letters) throw Damaged();
    }
    uint8_t previous = 8;
    for (uint32_t i = 0; i < letters && left > 0; --left) {
        const uint32_t symbol = code.read(bits);
        if (symbol < 16) {
            lengths[i++] = static_cast<uint8_t>(symbol);
            if (symbol) previous = static_cast<uint8_t>(symbol);
            continue;
        }
        const uint32_t repeat =
            symbol == 16 ? 3 + bits.read(2) : symbol == 17 ? 3 + bits.read(3) : 11 + bits.read(7);
        if (i + repeat > letters) throw Damaged();
        for (uint32_t k = 0; k < repeat; ++k) lengths[i++] = symbol == 16 ? previous : 0;
    }
    return Code(lengths);
}

struct Group {
    Code green, red, blue, alpha, distance;
};

struct Image {
    uint32_t width = 0, height = 0;
    std::vector<uint32_t> pixels;
};

uint32_t blocks(uint32_t size, int log2) { return (size + (1u << log2) - 1) >> log2; }

// A length, or a distance before it is mapped to neighbours.
uint32_t read_number(Bits& bits, uint32_t prefix) {
    if (prefix < 4) return prefix + 1;
    const int more = static_cast<int>(prefix - 2) >> 1;
    return ((2 + (prefix & 1)) << more) + bits.read(more) + 1;
}

uint32_t distance_of(uint32_t code, uint32_t width) {
    static constexpr int8_t kNear[120][2] = {
        {0, 1},  {1, 0},  {1, 1},  {-1, 1}, {0, 2},  {2, 0},  {1, 2},  {-1, 2}, {2, 1},  {-2, 1}, {2, 2},  {-2, 2},
        {0, 3},  {3, 0},  {1, 3},  {-1, 3}, {3, 1},  {-3, 1}, {2, 3},  {-2, 3}, {3, 2},  {-3, 2}, {0, 4},  {4, 0},
        {1, 4},  {-1, 4}, {4, 1},  {-4, 1}, {3, 3},  {-3, 3}, {2, 4},  {-2, 4}, {4, 2},  {-4, 2}, {0, 5},  {3, 4},
        {-3, 4}, {4, 3},  {-4, 3}, {5, 0},  {1, 5},  {-1, 5}, {5, 1},  {-5, 1}, {2, 5},  {-2, 5}, {5, 2},  {-5, 2},
        {4, 4},  {-4, 4}, {3, 5},  {-3, 5}, {5, 3},  {-5, 3}, {0, 6},  {6, 0},  {1, 6},  {-1, 6}, {6, 1},  {-6, 1},
        {2, 6},  {-2, 6}, {6, 2},  {-6, 2}, {4, 5},  {-4, 5}, {5, 4},  {-5, 4}, {3, 6},  {-3, 6}, {6, 3},  {-6, 3},
        {0, 7},  {7, 0},  {1, 7},  {-1, 7}, {5, 5},  {-5, 5}, {7, 1},  {-7, 1}, {4, 6},  {-4, 6}, {6, 4},  {-6, 4},
        {2, 7},  {-2, 7}, {7, 2},  {-7, 2}, {3, 7},  {-3, 7}, {7, 3},  {-7, 3}, {5, 6},  {-5, 6}, {6, 5},  {-6, 5},
        {8, 0},  {4, 7},  {-4, 7}, {7, 4},  {-7, 4}, {8, 1},  {8, 2},  {6, 6},  {-6, 6}, {8, 3},  {5, 7},  {-5, 7},
        {7, 5},  {-7, 5}, {8, 4},  {6, 7},  {-6, 7}, {7, 6},  {-7, 6}, {8, 5},  {7, 7},  {-7, 7}, {8, 6},  {8, 7}};
    if (code > 120) return code - 120;
    const int64_t distance = kNear[code - 1][0] + int64_t{kNear[code - 1][1]} * width;
    return distance < 1 ? 1 : static_cast<uint32_t>(distance);
}

Image read_image(Bits& bits, uint32_t width, uint32_t height, bool is_main) {
    const int cache_bits = bits.read(1) ? static_cast<int>(bits.read(4)) : 0;
    if (cache_bits > kMaxCacheBits) throw Damaged();
    const uint32_t cached = cache_bits ? 1u << cache_bits : 0;
    int group_log2 = 0;
    Image group_of;
    uint32_t n_groups = 1;
    if (is_main && bits.read(1)) {
        group_log2 = static_cast<int>(bits.read(3)) + 2;
        group_of = read_image(bits, blocks(width, group_log2), blocks(height, group_log2), false);
        for (uint32_t& pixel : group_of.pixels) {
            pixel = pixel >> 8 & 0xFFFF;
            n_groups = std::max(n_groups, pixel + 1);
        }
        if (n_groups > group_of.pixels.size()) throw Damaged();  // else a few bytes could ask for much memory
    }
    std::vector<Group> groups(n_groups);
    for (Group& group : groups) {
        group.green = read_code(bits, 256 + kLengthCodes + cached);
        group.red = read_code(bits, 256);
        group.blue = read_code(bits, 256);
        group.alpha = read_code(bits, 256);
        group.distance = read_code(bits, kDistanceCodes);
    }
    std::vector<uint32_t> cache(cached);
    Image image = {width, height, std::vector<uint32_t>(static_cast<size_t>(width) * height)};
    const size_t n = image.pixels.size();
    for (size_t at = 0; at < n;) {
        const uint32_t x = at % width, y = static_cast<uint32_t>(at / width);
        const Group& group =
            groups[group_of.width ? group_of.pixels[(y >> group_log2) * group_of.width + (x >> group_log2)] : 0];
        const auto put = [&](uint32_t pixel) {
            image.pixels[at++] = pixel;
            if (cached) cache[0x1E35A7BDu * pixel >> (32 - cache_bits)] = pixel;
        };
        const uint32_t symbol = group.green.read(bits);
        if (symbol < 256) {
            const uint32_t red = group.red.read(bits), blue = group.blue.read(bits), alpha = group.alpha.read(bits);
            put(alpha << 24 | red << 16 | symbol << 8 | blue);
        } else if (symbol < 256 + kLengthCodes) {
            const uint32_t length = read_number(bits, symbol - 256);
            const uint32_t distance = distance_of(read_number(bits, group.distance.read(bits)), width);
            if (distance > at || length > n - at) throw Damaged();
            for (uint32_t i = 0; i < length; ++i) put(image.pixels[at - distance]);
        } else {
            put(cache[symbol - 256 - kLengthCodes]);
        }
    }
    return image;
}

// ----------------------------------------------------------------------------------------------------------- transforms

int part(uint32_t pixel, int shift) { return pixel >> shift & 255; }

template <class Of>
uint32_t each_part(Of of) {
    uint32_t pixel = 0;
    for (int shift = 0; shift < 32; shift += 8) pixel |= static_cast<uint32_t>(of(shift) & 255) << shift;
    return pixel;
}

uint32_t sum_of(uint32_t a, uint32_t b) {
    return each_part([&](int shift) { return part(a, shift) + part(b, shift); });
}
uint32_t mean_of(uint32_t a, uint32_t b) {
    return each_part([&](int shift) { return (part(a, shift) + part(b, shift)) / 2; });
}
int clamped(int value) { return std::clamp(value, 0, 255); }

uint32_t select(uint32_t left, uint32_t top, uint32_t corner) {
    int from_left = 0, from_top = 0;
    for (int shift = 0; shift < 32; shift += 8) {
        from_left += std::abs(part(top, shift) - part(corner, shift));
        from_top += std::abs(part(left, shift) - part(corner, shift));
    }
    return from_left < from_top ? left : top;
}

uint32_t predicted(int mode, uint32_t left, uint32_t top, uint32_t corner, uint32_t right) {
    switch (mode) {
        case 1: return left;
        case 2: return top;
        case 3: return right;
        case 4: return corner;
        case 5: return mean_of(mean_of(left, right), top);
        case 6: return mean_of(left, corner);
        case 7: return mean_of(left, top);
        case 8: return mean_of(corner, top);
        case 9: return mean_of(top, right);
        case 10: return mean_of(mean_of(left, corner), mean_of(top, right));
        case 11: return select(left, top, corner);
        case 12:
            return each_part([&](int s) { return clamped(part(left, s) + part(top, s) - part(corner, s)); });
        case 13: {
            const uint32_t mean = mean_of(left, top);
            return each_part([&](int s) { return clamped(part(mean, s) + (part(mean, s) - part(corner, s)) / 2); });
        }
        default: return kOpaqueBlack;
    }
}

enum Kind { kPredictor, kColour, kSubtractGreen, kIndexing };

struct Transform {
    int kind, log2;  // of the blocks' side; of indexing: how many pixels share one, log2
    Image data;
    uint32_t width;  // of the picture that it makes
};

void undo_predictor(const Transform& transform, Image& image) {
    const uint32_t width = image.width;
    uint32_t* pixel = image.pixels.data();
    for (uint32_t y = 0; y < image.height; ++y)
        for (uint32_t x = 0; x < width; ++x, ++pixel) {
            uint32_t prediction = kOpaqueBlack;
            if (y == 0 && x > 0) {
                prediction = pixel[-1];
            } else if (y > 0) {
                const uint32_t* const above = pixel - width;
                const uint32_t block =
                    transform.data.pixels[(y >> transform.log2) * transform.data.width + (x >> transform.log2)];
                prediction = x == 0 ? above[0] : predicted(block >> 8 & 15, pixel[-1], above[0], above[-1], above[1]);
            }
            *pixel = sum_of(*pixel, prediction);
        }
}

void undo_colour(const Transform& transform, Image& image) {
    const auto change = [](int factor, int value) {
        return static_cast<int8_t>(factor) * static_cast<int8_t>(value) >> 5;
    };
    uint32_t* pixel = image.pixels.data();
    for (uint32_t y = 0; y < image.height; ++y)
        for (uint32_t x = 0; x < image.width; ++x, ++pixel) {
            const uint32_t factors =
                transform.data.pixels[(y >> transform.log2) * transform.data.width + (x >> transform.log2)];
            const int green = part(*pixel, 8), red = (part(*pixel, 16) + change(part(factors, 0), green)) & 255;
            const int blue = part(*pixel, 0) + change(part(factors, 8), green) + change(part(factors, 16), red);
            *pixel = (*pixel & 0xFF00FF00) | static_cast<uint32_t>(red) << 16 | (blue & 255);
        }
}

void undo_subtract_green(Image& image) {
    for (uint32_t& pixel : image.pixels) {
        const uint32_t green = pixel >> 8 & 255;
        pixel = (pixel & 0xFF00FF00) | (((pixel & 0x00FF00FF) + (green << 16 | green)) & 0x00FF00FF);
    }
}

void undo_indexing(const Transform& transform, Image& image) {
    Image whole = {transform.width, image.height,
                   std::vector<uint32_t>(static_cast<size_t>(transform.width) * image.height)};
    const int bits = 8 >> transform.log2;
    for (uint32_t y = 0; y < whole.height; ++y)
        for (uint32_t x = 0; x < whole.width; ++x) {
            const uint32_t shared = image.pixels[y * image.width + (x >> transform.log2)] >> 8 & 255;
            const uint32_t index = shared >> (x & ((1u << transform.log2) - 1)) * bits & ((1u << bits) - 1);
            whole.pixels[static_cast<size_t>(y) * whole.width + x] =
                index < transform.data.width ? transform.data.pixels[index] : 0;
        }
    image = std::move(whole);
}

std::vector<Transform> read_transforms(Bits& bits, uint32_t& width, uint32_t height) {
    std::vector<Transform> transforms;
    int seen = 0;
    while (bits.read(1)) {
        Transform transform = {static_cast<int>(bits.read(2)), 0, {}, width};
        if (seen >> transform.kind & 1) throw Damaged();
        seen |= 1 << transform.kind;
        if (transform.kind == kPredictor || transform.kind == kColour) {
            transform.log2 = static_cast<int>(bits.read(3)) + 2;
            transform.data = read_image(bits, blocks(width, transform.log2), blocks(height, transform.log2), false);
        } else if (transform.kind == kIndexing) {
            const uint32_t colours = bits.read(8) + 1;
            transform.log2 = colours <= 2 ? 3 : colours <= 4 ? 2 : colours <= 16 ? 1 : 0;
            transform.data = read_image(bits, colours, 1, false);
            auto& pixels = transform.data.pixels;
            for (uint32_t i = 1; i < colours; ++i) pixels[i] = sum_of(pixels[i], pixels[i - 1]);
            width = blocks(width, transform.log2);
        }
        transforms.push_back(std::move(transform));
    }
    return transforms;
}

uint32_t little_endian(const uint8_t* p) {
    return p[0] | p[1] << 8 | p[2] << 16 | static_cast<uint32_t>(p[3]) << 24;
}

// The one picture in the file's chunks. Its size is 0 if the file is damaged or an animation.
Span picture_in(Span file, bool& is_lossless) {
    if (file.size < 12 || std::memcmp(file.data, "RIFF", 4) != 0 || std::memcmp(file.data + 8, "WEBP", 4) != 0) return {};
    for (size_t at = 12; at + 8 <= file.size;) {
        const uint8_t* const kind = file.data + at;
        const uint64_t size = little_endian(kind + 4);
        if (size > file.size - at - 8) return {};
        if (std::memcmp(kind, "ANIM", 4) == 0 || std::memcmp(kind, "ANMF", 4) == 0) return {};
        is_lossless = std::memcmp(kind, "VP8L", 4) == 0;
        if (is_lossless || std::memcmp(kind, "VP8 ", 4) == 0) return {kind + 8, static_cast<size_t>(size)};
        at += 8 + size + size % 2;
    }
    return {};
}

}  // namespace

Decoded decode_webp_lossless(Span file, uint32_t width, uint32_t height, uint8_t* out) {
    bool is_lossless = false;
    const Span data = picture_in(file, is_lossless);
    if (data.size == 0) return Decoded::kDamaged;
    if (!is_lossless) return Decoded::kUnsupported;
    try {
        Bits bits(data);
        if (bits.read(8) != 0x2F || bits.read(14) + 1 != width || bits.read(14) + 1 != height) throw Damaged();
        const bool has_alpha = bits.read(1);
        if (bits.read(3) != 0) throw Damaged();
        uint32_t coded_width = width;
        const std::vector<Transform> transforms = read_transforms(bits, coded_width, height);
        Image image = read_image(bits, coded_width, height, true);
        for (auto transform = transforms.rbegin(); transform != transforms.rend(); ++transform) {
            switch (transform->kind) {
                case kPredictor: undo_predictor(*transform, image); break;
                case kColour: undo_colour(*transform, image); break;
                case kSubtractGreen: undo_subtract_green(image); break;
                default: undo_indexing(*transform, image);
            }
        }
        for (const uint32_t pixel : image.pixels) {
            *out++ = static_cast<uint8_t>(pixel >> 16);
            *out++ = static_cast<uint8_t>(pixel >> 8);
            *out++ = static_cast<uint8_t>(pixel);
            *out++ = has_alpha ? static_cast<uint8_t>(pixel >> 24) : 255;
        }
        return Decoded::kOk;
    } catch (const Damaged&) {
        return Decoded::kDamaged;
    }
}

}  // namespace aec::web
