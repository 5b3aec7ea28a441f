#include "tools/picture_files.h"

#include <zlib.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>

namespace aec::tools {
namespace {

constexpr int kLevel = 3;  // of deflate: a tenth larger than level 9, in a fifth of its time

void append(Bytes& to, const void* data, size_t n) {
    const auto* from = static_cast<const uint8_t*>(data);
    to.insert(to.end(), from, from + n);
}
void append(Bytes& to, const std::string& text) { append(to, text.data(), text.size()); }
void append_big32(Bytes& to, uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) to.push_back(static_cast<uint8_t>(value >> shift));
}

// Samples as PNG and Netpbm have them: 16 bits with the high byte first.
Bytes big_endian(const Picture& picture) {
    Bytes out = picture.samples;
    if (picture.depth != 16) return out;
    for (size_t i = 0; i + 1 < out.size(); i += 2) {
        uint16_t sample;
        std::memcpy(&sample, &picture.samples[i], 2);
        out[i] = static_cast<uint8_t>(sample >> 8);
        out[i + 1] = static_cast<uint8_t>(sample);
    }
    return out;
}

// ---------------------------------------------------------------------------------------------------------------- PNG

void append_chunk(Bytes& to, const char* name, const Bytes& data) {
    append_big32(to, static_cast<uint32_t>(data.size()));
    const size_t start = to.size();
    append(to, name, 4);
    append(to, data.data(), data.size());
    append_big32(to, static_cast<uint32_t>(crc32(0, to.data() + start, static_cast<uInt>(to.size() - start))));
}

class Deflater {
public:
    Deflater() {
        if (deflateInit(&stream_, kLevel) != Z_OK) throw std::bad_alloc();
    }
    ~Deflater() { deflateEnd(&stream_); }
    Deflater(const Deflater&) = delete;
    Deflater& operator=(const Deflater&) = delete;

    void add(const uint8_t* data, size_t n, bool is_last) {
        stream_.next_in = const_cast<uint8_t*>(data);
        stream_.avail_in = static_cast<uInt>(n);
        do {
            uint8_t piece[1 << 15];
            stream_.next_out = piece;
            stream_.avail_out = sizeof piece;
            deflate(&stream_, is_last ? Z_FINISH : Z_NO_FLUSH);
            append(out, piece, sizeof piece - stream_.avail_out);
        } while (stream_.avail_out == 0);
    }

    Bytes out;

private:
    z_stream stream_ = {};
};

uint8_t paeth(int left, int up, int corner) {
    const int a = std::abs(up - corner), b = std::abs(left - corner), c = std::abs(left + up - 2 * corner);
    return static_cast<uint8_t>(a <= b && a <= c ? left : b <= c ? up : corner);
}

// All rows have the filter Paeth, which is the best one for photographs.
Bytes png_samples(const Picture& picture) {
    const Bytes samples = big_endian(picture);
    const size_t pixel = picture.channels * picture.depth / 8, row = pixel * picture.width;
    const Bytes zeros(row, 0);
    Bytes filtered(row + 1);
    filtered[0] = 4;
    Deflater deflater;
    for (uint32_t y = 0; y < picture.height; ++y) {
        const uint8_t* here = samples.data() + y * row;
        const uint8_t* up = y > 0 ? here - row : zeros.data();
        for (size_t i = 0; i < row; ++i) {
            const bool has_left = i >= pixel;
            filtered[i + 1] = static_cast<uint8_t>(
                here[i] - paeth(has_left ? here[i - pixel] : 0, up[i], has_left ? up[i - pixel] : 0));
        }
        deflater.add(filtered.data(), filtered.size(), y + 1 == picture.height);
    }
    return std::move(deflater.out);
}

Bytes png_of(const Picture& picture) {
    constexpr uint8_t kColourTypes[] = {0, 4, 2, 6};
    Bytes out, header;
    append(out, "\x89PNG\r\n\x1a\n", 8);
    append_big32(header, picture.width);
    append_big32(header, picture.height);
    header.push_back(static_cast<uint8_t>(picture.depth));
    header.push_back(kColourTypes[picture.channels - 1]);
    header.insert(header.end(), 3, 0);
    append_chunk(out, "IHDR", header);
    if (!picture.cicp.empty()) append_chunk(out, "cICP", picture.cicp);
    if (!picture.icc.empty()) {
        Deflater deflater;
        deflater.add(picture.icc.data(), picture.icc.size(), true);
        Bytes chunk;
        append(chunk, "ICC Profile", sizeof "ICC Profile");
        chunk.push_back(0);
        append(chunk, deflater.out.data(), deflater.out.size());
        append_chunk(out, "iCCP", chunk);
    }
    if (!picture.significant_bits.empty())
        append_chunk(out, "sBIT", Bytes(picture.channels, picture.significant_bits[0]));
    if (!picture.exif.empty()) append_chunk(out, "eXIf", picture.exif);
    if (!picture.xmp.empty()) {
        Bytes chunk;
        append(chunk, "XML:com.adobe.xmp", sizeof "XML:com.adobe.xmp");
        chunk.insert(chunk.end(), 4, 0);
        append(chunk, picture.xmp.data(), picture.xmp.size());
        append_chunk(out, "iTXt", chunk);
    }
    const Bytes samples = png_samples(picture);
    constexpr size_t kMost = 1 << 30;  // bytes in a chunk
    for (size_t at = 0; at < samples.size(); at += kMost)
        append_chunk(out, "IDAT", {samples.begin() + at, samples.begin() + std::min(at + kMost, samples.size())});
    append_chunk(out, "IEND", {});
    return out;
}

// --------------------------------------------------------------------------------------------------- Netpbm and NumPy

Bytes ppm_of(const Picture& picture) {
    if (picture.channels % 2 == 0) throw std::runtime_error("PPM holds no alpha channel: PNG, PAM and NPY do");
    Bytes out;
    append(out, std::string(picture.channels == 1 ? "P5" : "P6") + "\n" + std::to_string(picture.width) + " " +
                    std::to_string(picture.height) + "\n" + std::to_string((1 << picture.depth) - 1) + "\n");
    const Bytes samples = big_endian(picture);
    append(out, samples.data(), samples.size());
    return out;
}

Bytes pam_of(const Picture& picture) {
    const char* kTypes[] = {"GRAYSCALE", "GRAYSCALE_ALPHA", "RGB", "RGB_ALPHA"};
    Bytes out;
    append(out, "P7\nWIDTH " + std::to_string(picture.width) + "\nHEIGHT " + std::to_string(picture.height) +
                    "\nDEPTH " + std::to_string(picture.channels) + "\nMAXVAL " +
                    std::to_string((1 << picture.depth) - 1) + "\nTUPLTYPE " + kTypes[picture.channels - 1] +
                    "\nENDHDR\n");
    const Bytes samples = big_endian(picture);
    append(out, samples.data(), samples.size());
    return out;
}

Bytes npy_of(const Picture& picture) {
    const uint16_t one = 1;
    const bool is_little = *reinterpret_cast<const uint8_t*>(&one) == 1;
    const std::string type = picture.depth == 8 ? "|u1" : is_little ? "<u2" : ">u2";
    const std::string channels = picture.channels > 1 ? ", " + std::to_string(picture.channels) : "";
    std::string header = "{'descr': '" + type + "', 'fortran_order': False, 'shape': (" +
                         std::to_string(picture.height) + ", " + std::to_string(picture.width) + channels + "), }";
    constexpr size_t kPrefix = 10, kAlignment = 64;
    header.append((kAlignment - (kPrefix + header.size() + 1) % kAlignment) % kAlignment, ' ');
    header += '\n';
    Bytes out;
    append(out, "\x93NUMPY\1\0", 8);
    out.push_back(static_cast<uint8_t>(header.size()));
    out.push_back(static_cast<uint8_t>(header.size() >> 8));
    append(out, header);
    append(out, picture.samples.data(), picture.samples.size());
    return out;
}

}  // namespace

std::string format_of(const std::string& name) {
    const size_t dot = name.rfind('.');
    std::string suffix = dot == std::string::npos ? "" : name.substr(dot + 1);
    for (char& c : suffix) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    if (suffix == "pgm") return "ppm";
    return suffix == "png" || suffix == "ppm" || suffix == "pam" || suffix == "npy" ? suffix : "";
}

Bytes encoded(const std::string& format, const Picture& picture) {
    if (format == "png") return png_of(picture);
    if (format == "ppm") return ppm_of(picture);
    if (format == "pam") return pam_of(picture);
    return npy_of(picture);
}

}  // namespace aec::tools
