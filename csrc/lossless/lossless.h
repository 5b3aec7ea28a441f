// The exact coder: pictures of 1 to 4 planes of 1 to 16 bits, kept exactly or with a largest error (FORMAT §9).
#pragma once

#include <vector>

#include "base/status.h"

namespace aec {

// samples: [height][width][channels], each below 2^bits: 1 channel of gray or 3 of RGB, and then maybe alpha.
struct ExactPicture {
    int width, height, channels, bits;
    int largest_error;  // 0..255; alpha is always exact
};

std::vector<uint8_t> encode_exact(const ExactPicture& picture, const uint16_t* samples);

// Decodes a payload of a picture of `depth` bits and writes all samples, also if there is a fault. `bits` is the number
// of bits that they have, at most `depth`.
Fault decode_exact(const uint8_t* payload, uint64_t size, const ExactPicture& picture, uint16_t* samples, int& bits);

}  // namespace aec
