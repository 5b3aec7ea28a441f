#include "embedded/encoders.h"

#include <zlib.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "base/error.h"

namespace aec {
namespace {

constexpr int kFilters = 5, kPixel = 2, kLevel = 6;  // of PNG; bytes a pixel; of zlib

uint8_t paeth(int left, int up, int corner) {
    const int by_left = std::abs(up - corner), by_up = std::abs(left - corner);
    const int by_corner = std::abs(left + up - 2 * corner);
    return static_cast<uint8_t>(by_left <= by_up && by_left <= by_corner ? left : by_up <= by_corner ? up : corner);
}

// Writes a row as the filter of a number leaves it (PNG specification, 9.2). Returns the sum of the magnitudes of its
// bytes, taken as signed.
uint64_t filtered(int filter, const uint8_t* row, const uint8_t* above, size_t n, uint8_t* out) {
    uint64_t sum = 0;
    for (size_t i = 0; i < n; ++i) {
        const int left = i < kPixel ? 0 : row[i - kPixel], up = above[i], corner = i < kPixel ? 0 : above[i - kPixel];
        const int guess[kFilters] = {0, left, up, (left + up) / 2, filter == 4 ? paeth(left, up, corner) : 0};
        out[i] = static_cast<uint8_t>(row[i] - guess[filter]);
        sum += static_cast<uint64_t>(std::abs(static_cast<int8_t>(out[i])));
    }
    return sum;
}

ByteString deflated(const Vector<uint8_t>& data) {
    uLongf size = compressBound(data.size());
    ByteString out(size, 0);
    if (compress2(reinterpret_cast<Bytef*>(out.data()), &size, data.data(), data.size(), kLevel) != Z_OK)
        throw std::bad_alloc();
    out.resize(size);
    return out;
}

void append_big32(ByteString& out, uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}

void append_chunk(ByteString& out, const char* name, const ByteString& data) {
    append_big32(out, static_cast<uint32_t>(data.size()));
    const size_t start = out.size();
    out.append(name, 4).append(data);
    append_big32(out, static_cast<uint32_t>(
                          crc32_z(0, reinterpret_cast<const Bytef*>(out.data() + start), out.size() - start)));
}

// A gray PNG of 16 bits a sample. Each row has the filter whose bytes have the smallest sum of magnitudes.
ByteString encode_png_alpha(const uint8_t* samples, uint32_t width, uint32_t height) {
    const size_t n = size_t{width} * kPixel;
    Vector<uint8_t> above(n), row(n), best(1 + n), other(1 + n), data;
    data.reserve(height * (1 + n));
    for (uint32_t y = 0; y < height; ++y) {
        for (size_t x = 0; x < width; ++x) {
            uint16_t sample;
            std::memcpy(&sample, samples + y * n + x * kPixel, sizeof sample);
            row[2 * x] = static_cast<uint8_t>(sample >> 8);
            row[2 * x + 1] = static_cast<uint8_t>(sample);
        }
        uint64_t least = UINT64_MAX;
        for (int filter = 0; filter < kFilters; ++filter) {
            other[0] = static_cast<uint8_t>(filter);
            const uint64_t sum = filtered(filter, row.data(), above.data(), n, other.data() + 1);
            if (sum >= least) continue;
            least = sum;
            best.swap(other);
        }
        data.insert(data.end(), best.begin(), best.end());
        above.swap(row);
    }
    ByteString head, file("\x89PNG\r\n\x1a\n", 8);
    append_big32(head, width);
    append_big32(head, height);
    head.append({16, 0, 0, 0, 0});  // bits a sample, gray, deflate, adaptive filters, not interlaced
    append_chunk(file, "IHDR", head);
    append_chunk(file, "IDAT", deflated(data));
    append_chunk(file, "IEND", "");
    return file;
}

}  // namespace

bool has_alpha_encoder(int depth) {
#ifdef AEC_WITH_WEBP
    return depth == 8 || depth == 16;
#else
    return depth == 16;
#endif
}

ByteString encode_alpha(const uint8_t* samples, uint32_t width, uint32_t height, int depth, int quality) {
    if (depth == 16) return encode_png_alpha(samples, width, height);
#ifdef AEC_WITH_WEBP
    return encode_webp_alpha(samples, width, height, quality);
#else
    (void)quality;
    throw Error(ErrorKind::kEmbedded,
                "a picture with transparent pixels: this build has no WebP encoder, and no function that codes alpha "
                "was given");
#endif
}

}  // namespace aec
