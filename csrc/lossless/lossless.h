// The exact coder: pictures of 1 to 4 planes, kept exactly or with a largest error (FORMAT §9).
#pragma once


#include "base/memory.h"
#include "base/status.h"

namespace aec {

// samples: [height][width][channels], each below 2^depth: 1 channel of gray or 3 of RGB, and then maybe alpha.
struct ExactPicture {
    int width, height, channels, depth;  // depth: 1..16, in files 8 or 16
    int largest_error;                   // 0..255, of colours, in levels of `depth` bits; alpha is always exact
};

// Samples that are integers of fewer bits, scaled to the whole range, are coded as those.
Vector<uint8_t> encode_exact(const ExactPicture& picture, const uint16_t* samples);

// Writes all samples, also if there is a fault.
Fault decode_exact(const uint8_t* payload, uint64_t size, const ExactPicture& picture, uint16_t* samples);

}  // namespace aec
