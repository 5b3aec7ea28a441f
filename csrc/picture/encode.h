// Encodes a picture with the network: samples -> the bytes of an .aec file.
#pragma once

#include <functional>

#include "container/writer.h"
#include "model/encoder.h"

namespace aec {

struct EncodeSettings {
    int quality = 75;          // 1..100
    int effort = 2;            // 1..kMaxEffort
    bool progressive = false;  // code each tile in two passes, so that half of the file is a coarse picture
    uint32_t tile = 1024;      // side of the tiles: 64, 128, .. 4096
    // A quality for each block of 64x64 pixels, [rows][columns of blocks], 1..100 each; empty: `quality` everywhere.
    std::vector<uint8_t> map = {};
    int threads = 1;  // the most to use; the file is the same
    // Called with the share that is done, rising to 1, by the threads that do the work, one at a time. May throw, to
    // stop; the exception leaves encode_picture.
    std::function<void(double)> progress = nullptr;
};

// alphas: the coded alpha of each tile (FORMAT §2.8), as many as there are tiles; none: the picture is opaque. In
// `samples` alpha only says which colours do not matter. metadata: by Kind, as FileParts has it. The file is that of
// codec.encode, if that does not find that storing the picture takes less. Throws invalid_argument if an argument is
// not as described, and Error of kind kLimit as write_file does.
std::string encode_picture(const Encoder& encoder, const SampleView& samples, const EncodeSettings& settings,
                           const std::vector<std::string>& alphas, const std::array<Span, kKindCount>& metadata);

}  // namespace aec
