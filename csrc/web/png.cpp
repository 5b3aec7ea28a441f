// PNG (ISO 15948), all kinds of it: only what decides samples, no metadata.
#include <zlib.h>

#include <cstdlib>
#include <cstring>

#include "web/embedded.h"

namespace aec::web {
namespace {

constexpr uint8_t kSignature[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
enum ColourType { kGray = 0, kRgb = 2, kPalette = 3, kGrayAlpha = 4, kRgba = 6 };

uint32_t big_endian(const uint8_t* p) { return static_cast<uint32_t>(p[0]) << 24 | p[1] << 16 | p[2] << 8 | p[3]; }

struct Png {
    uint32_t width, height;
    int bits, colour, interlaced;
    Span palette, transparent;
    std::vector<uint8_t> deflated;

    int channels() const { return colour == kRgb ? 3 : colour == kRgba ? 4 : colour == kGrayAlpha ? 2 : 1; }
    uint64_t row_bytes(uint64_t columns) const { return (columns * channels() * bits + 7) / 8; }
    bool is_allowed() const {
        switch (colour) {
            case kGray: return bits == 1 || bits == 2 || bits == 4 || bits == 8 || bits == 16;
            case kPalette: return (bits == 1 || bits == 2 || bits == 4 || bits == 8) && palette.size > 0;
            case kRgb: case kGrayAlpha: case kRgba: return bits == 8 || bits == 16;
            default: return false;
        }
    }
};

// Reads the chunks that decide samples. False: one is damaged or missing.
bool read_chunks(Span file, Png& png) {
    if (file.size < 8 || std::memcmp(file.data, kSignature, 8) != 0) return false;
    bool has_head = false;
    for (size_t at = 8; at + 12 <= file.size;) {
        const uint32_t size = big_endian(file.data + at);
        if (size > file.size - at - 12) return false;
        const uint8_t *kind = file.data + at + 4, *data = kind + 4;
        const auto is = [&](const char* name) { return std::memcmp(kind, name, 4) == 0; };
        at += size + 12;
        const bool needed = is("IHDR") || is("PLTE") || is("tRNS") || is("IDAT");
        if (needed && crc32(crc32(0, nullptr, 0), kind, size + 4) != big_endian(data + size)) return false;
        if (is("IHDR")) {
            if (size != 13 || data[10] != 0 || data[11] != 0 || data[12] > 1) return false;
            png.width = big_endian(data);
            png.height = big_endian(data + 4);
            png.bits = data[8];
            png.colour = data[9];
            png.interlaced = data[12];
            has_head = true;
        } else if (is("PLTE")) {
            png.palette = {data, size};
        } else if (is("tRNS")) {
            png.transparent = {data, size};
        } else if (is("IDAT")) {
            png.deflated.insert(png.deflated.end(), data, data + size);
        } else if (is("IEND")) {
            break;
        }
    }
    return has_head && png.is_allowed();
}

int paeth(int left, int above, int corner) {
    const int a = std::abs(above - corner), b = std::abs(left - corner), c = std::abs(left + above - 2 * corner);
    return a <= b && a <= c ? left : b <= c ? above : corner;
}

// Undoes the filter of a row in place. `above` is the row before it, or zeros.
bool unfilter(int filter, uint8_t* row, const uint8_t* above, uint64_t n, int pixel) {
    for (uint64_t i = 0; i < n; ++i) {
        const bool has_left = i >= static_cast<uint64_t>(pixel);
        const int left = has_left ? row[i - pixel] : 0, up = above[i], corner = has_left ? above[i - pixel] : 0;
        switch (filter) {
            case 0: return true;
            case 1: row[i] = static_cast<uint8_t>(row[i] + left); break;
            case 2: row[i] = static_cast<uint8_t>(row[i] + up); break;
            case 3: row[i] = static_cast<uint8_t>(row[i] + (left + up) / 2); break;
            case 4: row[i] = static_cast<uint8_t>(row[i] + paeth(left, up, corner)); break;
            default: return false;
        }
    }
    return true;
}

template <class Sample>
class Writer {
public:
    Writer(const Png& png, Sample* out) : png_(png), out_(out) {
        const uint8_t* key = png.transparent.data;
        if (png.colour == kGray && png.transparent.size >= 2) keys_ = 1;
        if (png.colour == kRgb && png.transparent.size >= 6) keys_ = 3;
        for (int i = 0; i < keys_; ++i) key_[i] = key[2 * i] << 8 | key[2 * i + 1];
    }

    // One pixel of a row that is no longer filtered. False: its number is not in the palette.
    bool put(const uint8_t* row, uint64_t x, uint64_t to_x, uint64_t to_y) {
        Sample* const to = out_ + (to_y * png_.width + to_x) * 4;
        const int channels = png_.channels();
        int v[4];
        for (int c = 0; c < channels; ++c) v[c] = sample(row, x * channels + c);
        if (png_.colour == kPalette) {
            const size_t entry = v[0];
            if (3 * entry + 3 > png_.palette.size) return false;
            for (int c = 0; c < 3; ++c) to[c] = png_.palette.data[3 * entry + c];
            to[3] = entry < png_.transparent.size ? png_.transparent.data[entry] : kOpaque;
            return true;
        }
        bool is_key = keys_ > 0;
        for (int c = 0; c < keys_; ++c) is_key = is_key && v[c] == key_[c];
        const bool is_gray = channels <= 2;
        const int whole = png_.bits < 8 ? 255 / ((1 << png_.bits) - 1) : 1;  // so that white is 255
        for (int c = 0; c < 3; ++c) to[c] = static_cast<Sample>(v[is_gray ? 0 : c] * whole);
        to[3] = is_key ? 0 : channels % 2 == 0 ? static_cast<Sample>(v[channels - 1]) : kOpaque;
        return true;
    }

private:
    static constexpr Sample kOpaque = static_cast<Sample>(-1);
    int sample(const uint8_t* row, uint64_t i) const {
        if (png_.bits == 16) return row[2 * i] << 8 | row[2 * i + 1];
        if (png_.bits == 8) return row[i];
        const uint64_t bit = i * png_.bits;
        return row[bit / 8] >> (8 - png_.bits - bit % 8) & ((1 << png_.bits) - 1);
    }

    const Png& png_;
    Sample* const out_;
    int keys_ = 0, key_[3] = {};
};

// An interlaced picture is seven pictures: where each begins, and how far apart its pixels are.
struct Pass {
    uint32_t x, y, dx, dy;
    uint64_t columns(const Png& png) const { return png.width > x ? (png.width - x + dx - 1) / dx : 0; }
    uint64_t rows(const Png& png) const { return png.height > y ? (png.height - y + dy - 1) / dy : 0; }
    uint64_t bytes(const Png& png) const { return columns(png) ? rows(png) * (png.row_bytes(columns(png)) + 1) : 0; }
};
constexpr Pass kWhole[] = {{0, 0, 1, 1}};
constexpr Pass kInterlaced[] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};

template <class Sample>
Decoded write(const Png& png, std::vector<uint8_t>& rows, const Pass* passes, int n, Sample* out) {
    Writer<Sample> writer(png, out);
    const int pixel = std::max(1, png.channels() * png.bits / 8);
    uint8_t* row = rows.data();
    for (const Pass* pass = passes; pass != passes + n; ++pass) {
        const uint64_t columns = pass->columns(png), bytes = png.row_bytes(columns);
        if (columns == 0) continue;
        const std::vector<uint8_t> zeros(bytes);
        const uint8_t* above = zeros.data();
        for (uint64_t y = 0; y < pass->rows(png); ++y, row += bytes + 1) {
            if (!unfilter(row[0], row + 1, above, bytes, pixel)) return Decoded::kDamaged;
            above = row + 1;
            for (uint64_t x = 0; x < columns; ++x)
                if (!writer.put(above, x, pass->x + x * pass->dx, pass->y + y * pass->dy)) return Decoded::kDamaged;
        }
    }
    return Decoded::kOk;
}

}  // namespace

Decoded decode_png(Span file, uint32_t width, uint32_t height, int depth, void* out) {
    Png png = {};
    if (!read_chunks(file, png)) return Decoded::kDamaged;
    if (png.width != width || png.height != height || (png.bits == 16) != (depth == 16)) return Decoded::kDamaged;
    const Pass* const passes = png.interlaced ? kInterlaced : kWhole;
    const int n = png.interlaced ? 7 : 1;
    uint64_t bytes = 0;
    for (int i = 0; i < n; ++i) bytes += passes[i].bytes(png);
    std::vector<uint8_t> rows(bytes);
    z_stream stream = {};
    stream.next_in = png.deflated.data();
    stream.avail_in = static_cast<uInt>(png.deflated.size());
    stream.next_out = rows.data();
    stream.avail_out = static_cast<uInt>(rows.size());
    if (inflateInit(&stream) != Z_OK) return Decoded::kDamaged;
    const int result = inflate(&stream, Z_FINISH);
    inflateEnd(&stream);
    if (result != Z_STREAM_END || stream.total_out != bytes) return Decoded::kDamaged;
    return depth == 16 ? write(png, rows, passes, n, static_cast<uint16_t*>(out))
                       : write(png, rows, passes, n, static_cast<uint8_t*>(out));
}

}  // namespace aec::web
