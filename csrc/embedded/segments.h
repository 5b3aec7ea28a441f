// Goes through the chunks of PNG and WebP files, and the segments of JPEG files.
#pragma once

#include <cstring>

#include "base/span.h"

namespace aec {

inline uint32_t big32(const uint8_t* p) { return uint32_t{p[0]} << 24 | p[1] << 16 | p[2] << 8 | p[3]; }
inline uint32_t little32(const uint8_t* p) { return uint32_t{p[3]} << 24 | p[2] << 16 | p[1] << 8 | p[0]; }
inline uint32_t big16(const uint8_t* p) { return uint32_t{p[0]} << 8 | p[1]; }

inline bool begins(Span data, const char* with, size_t n) {
    return data.size >= n && std::memcmp(data.data, with, n) == 0;
}

// Calls use(name of four letters, data) for each whole chunk until it returns false. In WebP files: of the RIFF list.
template <class Use>
void for_png_chunks(Span file, Use use) {
    for (size_t at = 8; file.size >= at + 12;) {
        const uint32_t length = big32(file.data + at);
        if (length > file.size - at - 12) return;
        if (!use(reinterpret_cast<const char*>(file.data + at + 4), file.part(at + 8, at + 8 + length))) return;
        at += 12 + size_t{length};
    }
}

template <class Use>
void for_webp_chunks(Span file, Use use) {
    for (size_t at = 12; file.size >= at + 8;) {
        const uint32_t length = little32(file.data + at + 4);
        if (length > file.size - at - 8) return;
        if (!use(reinterpret_cast<const char*>(file.data + at), file.part(at + 8, at + 8 + size_t{length}))) return;
        at += 8 + size_t{length} + length % 2;
    }
}

// Calls use(marker, data) for each segment of a JPEG file until it returns false. The data of a start of scan is its
// header; coded blocks are skipped. The end marker has no data.
template <class Use>
void for_jpeg_segments(Span file, Use use) {
    size_t at = 2;
    while (at + 1 < file.size) {
        if (file.data[at] != 0xFF) {
            ++at;  // coded blocks, or bytes that do not belong here
            continue;
        }
        const int marker = file.data[at + 1];
        if (marker == 0xFF) {
            ++at;
            continue;
        }
        at += 2;
        if (marker == 0 || marker == 1 || (marker >= 0xD0 && marker <= 0xD8)) continue;  // stand-alone, or a coded 255
        if (marker == 0xD9) {
            use(marker, Span{});
            return;
        }
        if (at + 2 > file.size) return;
        const uint32_t length = big16(file.data + at);
        if (length < 2 || length > file.size - at) return;
        if (!use(marker, file.part(at + 2, at + length))) return;
        at += length;
    }
}

}  // namespace aec
