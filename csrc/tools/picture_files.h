// Writes pictures of 8 or 16 bits a sample as PNG, PPM and PGM, PAM, or NPY files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace aec::tools {

using Bytes = std::vector<uint8_t>;

struct Picture {
    uint32_t width, height, channels, depth;  // channels: gray, gray and alpha, RGB, or RGBA
    Bytes samples;  // rows without gaps, of the machine's byte order
    // Metadata, as far as there is any; only PNG holds it.
    Bytes icc, exif, xmp, cicp, significant_bits;
};

// "png", "ppm", "pam" or "npy", by the end of a file's name; empty: none of them. PGM counts as PPM.
std::string format_of(const std::string& name);

// Throws runtime_error if the format cannot hold the picture: PPM holds no alpha.
Bytes encoded(const std::string& format, const Picture& picture);

}  // namespace aec::tools
