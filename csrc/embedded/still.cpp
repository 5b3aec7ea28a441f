#include "embedded/still.h"

#include "embedded/segments.h"

namespace aec {
namespace {

constexpr int kMostScans = 500;  // a scan can be as short as 16 bytes, and still cost a pass over the whole picture

[[noreturn]] void fail(const std::string& what) { throw Error(ErrorKind::kCorrupt, what); }

Still png_of(Span file) {
    Still still = {StillKind::kPng, 0, 0};
    bool is_first = true;
    for_png_chunks(file, [&](const char* name, Span data) {
        const bool is_header = std::memcmp(name, "IHDR", 4) == 0;
        if (is_first != is_header || (is_header && data.size != 13))
            fail("a PNG picture that does not begin with its one header");
        if (is_header) {
            still.width = big32(data.data);
            still.height = big32(data.data + 4);
            const int depth = data.data[8], colour = data.data[9];
            still.depth = depth == 16 ? 16 : 8;
            still.gray = colour == 0 || colour == 4;
        }
        if (std::memcmp(name, "acTL", 4) == 0 && data.size >= 4 && big32(data.data) != 1) fail("an animation");
        is_first = false;
        return std::memcmp(name, "IDAT", 4) != 0;
    });
    if (is_first) fail("a PNG picture without a header");
    return still;
}

Still webp_of(Span file) {
    if (file.size < 30 || std::memcmp(file.data + 8, "WEBP", 4) != 0) fail("a WebP picture without a header");
    const uint8_t* body = file.data + 20;
    Still still = {StillKind::kWebp, 0, 0};
    if (std::memcmp(file.data + 12, "VP8X", 4) == 0) {
        if (body[0] & 2) fail("an animation");
        still.width = 1 + (body[4] | body[5] << 8 | body[6] << 16);
        still.height = 1 + (body[7] | body[8] << 8 | body[9] << 16);
    } else if (std::memcmp(file.data + 12, "VP8L", 4) == 0) {
        const uint32_t bits = little32(body + 1);
        still.width = 1 + (bits & 0x3FFF);
        still.height = 1 + (bits >> 14 & 0x3FFF);
    } else {
        still.width = (body[6] | body[7] << 8) & 0x3FFF;
        still.height = (body[8] | body[9] << 8) & 0x3FFF;
    }
    return still;
}

Still jpeg_of(Span file) {
    Still still = {StillKind::kJpeg, 0, 0};
    int scans = 0, frames = 0;
    bool ended = false;
    for_jpeg_segments(file, [&](int marker, Span data) {
        const bool is_frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
        if (is_frame) {
            if (++frames > 1 || data.size < 6) fail("a damaged JPEG picture: its frame's header");
            still.height = big16(data.data + 1);
            still.width = big16(data.data + 3);
            still.gray = data.data[5] == 1;
            still.cmyk = data.data[5] == 4;
        }
        scans += marker == 0xDA;
        ended = marker == 0xD9;
        return true;
    });
    if (frames == 0) fail("a JPEG picture without a frame");
    if (scans > kMostScans)
        fail("a JPEG picture of " + std::to_string(scans) + " scans: at most " + std::to_string(kMostScans) +
             " are allowed");
    if (!ended) fail("a JPEG picture without its end marker");
    return still;
}

}  // namespace

const char* name_of(StillKind kind) {
    switch (kind) {
        case StillKind::kNone: return "none";
        case StillKind::kPng: return "PNG";
        case StillKind::kWebp: return "WebP";
        case StillKind::kJpeg: return "JPEG";
    }
    return "unknown";
}

StillKind kind_of(Span file) {
    if (begins(file, "\x89PNG\r\n\x1a\n", 8)) return StillKind::kPng;
    if (begins(file, "RIFF", 4)) return StillKind::kWebp;
    if (begins(file, "\xff\xd8\xff", 3)) return StillKind::kJpeg;
    return StillKind::kNone;
}

Still still_of(Span file) {
    switch (kind_of(file)) {
        case StillKind::kPng: return png_of(file);
        case StillKind::kWebp: return webp_of(file);
        case StillKind::kJpeg: return jpeg_of(file);
        case StillKind::kNone: break;
    }
    fail("a payload that is no PNG, WebP or JPEG picture");
}

}  // namespace aec
