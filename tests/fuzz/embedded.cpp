// A fuzz target for the library's own decoders of PNG, WebP and JPEG pictures, and for what it reads of such files
// itself: the input is one. The checksums of PNG's chunks are made right in inputs whose last byte is even, so that
// damage gets behind them.
//
// These count as errors: a crash; another error than that the picture is damaged or of a kind that is not decoded; an
// orientation that does not exist; a picture that is decoded in another way the second time.
#include <zlib.h>

#include "embedded/decoders.h"
#include "embedded/segments.h"
#include "harness.h"

namespace aec::fuzz {
namespace {

constexpr uint64_t kMaxPixels = 1 << 18;

void make_checksums_right(std::vector<uint8_t>& file) {
    std::vector<Span> chunks;
    for_png_chunks({file.data(), file.size()}, [&](const char*, Span data) {
        chunks.push_back(data);
        return true;
    });
    for (const Span& chunk : chunks) {
        uint8_t* const name = file.data() + (chunk.data - file.data()) - 4;
        const unsigned long crc = crc32(0, name, static_cast<uInt>(chunk.size + 4));
        for (int i = 0; i < 4; ++i) name[4 + chunk.size + i] = static_cast<uint8_t>(crc >> (24 - 8 * i));
    }
}

// The samples, or nothing if the picture cannot be decoded.
std::vector<uint8_t> decoded(const Still& still, Span file) {
    const size_t stride = size_t{still.width} * 4 * (still.depth / 8);
    Exact<uint8_t> pixels(stride * still.height);
    std::memset(pixels.data(), 0, stride * still.height);
    decode_embedded({still, file, pixels.data(), stride});
    return {pixels.data(), pixels.data() + pixels.size()};
}

void run(const uint8_t* data, size_t size) {
    std::vector<uint8_t> file(data, data + size);
    if (kind_of({data, size}) == StillKind::kPng && file.back() % 2 == 0) make_checksums_right(file);
    Exact<uint8_t> bytes(file.data(), file.size());
    const Span span = {bytes.data(), bytes.size()};
    try {
        const Still still = still_of(span);
        const int orientation = orientation_of(span);
        AEC_REQUIRE(orientation >= 1 && orientation <= 8);
        AEC_REQUIRE(still.depth == 8 || still.depth == 16);
        if (still.width == 0 || still.height == 0 || uint64_t{still.width} * still.height > kMaxPixels) return;
        const std::vector<uint8_t> once = decoded(still, span);
        AEC_REQUIRE(decoded(still, span) == once);
    } catch (const Error& error) {
        AEC_REQUIRE(error.kind == ErrorKind::kCorrupt || error.kind == ErrorKind::kEmbedded);
    }
}

}  // namespace
}  // namespace aec::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    aec::fuzz::run(data, size);
    return 0;
}
