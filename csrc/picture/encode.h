// Encodes pictures: samples, or the file of a picture -> the bytes of an .aec file.
#pragma once

#include <functional>

#include "base/parallel.h"
#include "container/writer.h"
#include "embedded/decoders.h"
#include "model/encoder.h"

namespace aec {

// Called with the share that is done, rising to 1, by the threads that do the work, one at a time. May throw, to stop;
// the exception leaves the encoder.
using EncodeProgress = std::function<void(double)>;

// Counts the steps of the work, for a progress.
class Steps {
public:
    Steps(const EncodeProgress& progress, int64_t n) : progress_(progress), n_(n) {}
    void next() {
        const std::lock_guard<Mutex> lock(mutex_);
        ++done_;
        if (progress_) progress_(static_cast<double>(done_) / static_cast<double>(n_));
    }

private:
    const EncodeProgress& progress_;
    const int64_t n_;
    int64_t done_ = 0;
    Mutex mutex_;
};

struct EncodeSettings {
    int quality = 75;          // 1..100
    int effort = 2;            // 1..kMaxEffort
    bool progressive = false;  // code each tile in two passes, so that half of the file is a coarse picture
    uint32_t tile = 1024;      // side of the tiles: 64, 128, .. 4096
    // A quality for each block of 64x64 pixels, [rows][columns of blocks], 1..100 each; empty: `quality` everywhere.
    Vector<uint8_t> map = {};
    int threads = 1;  // the most to use; the file is the same
    EncodeProgress progress = nullptr;
};

// Encodes with the network. alphas: the coded alpha of each tile (FORMAT §2.8), as many as there are tiles; none: the
// picture is opaque. In `samples` alpha only says which colours do not matter. metadata: by Kind, as FileParts has it.
// The file is that of codec.encode, if that does not find that storing the picture takes less. Throws invalid_argument
// if an argument is not as described, and Error of kind kLimit as write_file does.
ByteString encode_picture(const Encoder& encoder, const SampleView& samples, const EncodeSettings& settings,
                           const Vector<ByteString>& alphas, const std::array<Span, kKindCount>& metadata);

struct ExactSettings {
    int largest_error = 0;  // 0..255, of a colour sample, in levels of its own depth; alpha is kept exactly
    uint32_t tile = 1024;
    int threads = 1;
    EncodeProgress progress = nullptr;
};

// Encodes with the exact coder (FORMAT §9): no network runs. Alpha that is opaque everywhere is left out. The file is
// that of codec.encode with max_error, if that does not find that storing the picture takes less. Throws as
// encode_picture.
ByteString encode_exact_picture(const SampleView& samples, const ExactSettings& settings,
                                 const std::array<Span, kKindCount>& metadata);

// Stores a PNG, WebP or JPEG file unchanged (FORMAT §2.9), after it was decoded to see that it is whole. The file is
// that of codec.encode with this source, if that does not find that another one takes less. Throws Error: of kind
// kCorrupt if the file is no such picture, kLimit if the picture is too large, and as `embedded` does.
ByteString store_picture(Span file, const Limits& limits, const EmbeddedDecoder& embedded);

}  // namespace aec
