// Where the files inside .aec files keep EXIF and XMP, and the orientation in these. codec/container/metadata.py has
// the same rules.
#include <zlib.h>

#include "embedded/segments.h"
#include "embedded/still.h"

namespace aec {
namespace {

constexpr uint32_t kOrientation = 0x0112;
constexpr char kExifPrefix[] = "Exif\0", kXmpPrefix[] = "http://ns.adobe.com/xap/1.0/", kXmpKey[] = "XML:com.adobe.xmp";

struct Blocks {
    Span exif, xmp;
};

void keep(Span& block, Span found) {
    if (block.size == 0) block = found;
}

// Of an iTXt chunk the text, if it is an XMP packet that is not compressed.
Span xmp_of_text(Span chunk) {
    constexpr size_t kKey = sizeof kXmpKey;
    if (!begins(chunk, kXmpKey, kKey) || chunk.size < kKey + 2 || chunk.data[kKey] != 0) return {};
    size_t at = kKey + 2;  // behind the two bytes on compression: language, and translated keyword
    for (int text = 0; text < 2; ++text) {
        while (at < chunk.size && chunk.data[at] != 0) ++at;
        ++at;
    }
    return chunk.part(at, chunk.size);
}

Blocks blocks_of_png(Span file) {
    Blocks found;
    for_png_chunks(file, [&](const char* name, Span data) {
        const auto* whole = reinterpret_cast<const uint8_t*>(name);
        const unsigned long crc = crc32(0, whole, static_cast<uInt>(data.size + 4));
        if (crc != big32(data.data + data.size)) return true;  // a damaged block does not count
        if (std::memcmp(name, "eXIf", 4) == 0) keep(found.exif, data);
        if (std::memcmp(name, "iTXt", 4) == 0) keep(found.xmp, xmp_of_text(data));
        return true;
    });
    return found;
}

Blocks blocks_of_webp(Span file) {
    Blocks found;
    for_webp_chunks(file, [&](const char* name, Span data) {
        if (std::memcmp(name, "EXIF", 4) == 0) keep(found.exif, data);
        if (std::memcmp(name, "XMP ", 4) == 0) keep(found.xmp, data);
        return true;
    });
    return found;
}

Blocks blocks_of_jpeg(Span file) {
    Blocks found;
    for_jpeg_segments(file, [&](int marker, Span data) {
        if (marker == 0xE1 && begins(data, kExifPrefix, sizeof kExifPrefix)) keep(found.exif, data);
        if (marker == 0xE1 && begins(data, kXmpPrefix, sizeof kXmpPrefix))
            keep(found.xmp, data.part(sizeof kXmpPrefix, data.size));
        return true;
    });
    return found;
}

// The value of the first orientation tag; -1 if there is none.
int exif_orientation(Span exif) {
    while (begins(exif, kExifPrefix, sizeof kExifPrefix)) exif = exif.part(sizeof kExifPrefix, exif.size);
    const bool is_big = begins(exif, "MM\0*", 4);
    if (!is_big && !begins(exif, "II*\0", 4)) return -1;
    const auto number = [&](uint64_t at, int bytes) {
        uint32_t value = 0;
        for (int i = 0; i < bytes && at + i < exif.size; ++i)
            value |= uint32_t{exif.data[at + i]} << 8 * (is_big ? bytes - 1 - i : i);
        return value;
    };
    const uint64_t first = uint64_t{number(4, 4)} + 2, count = number(first - 2, 2);
    for (uint64_t i = 0, at = first; i < count && at + 12 <= exif.size; ++i, at += 12) {
        if (number(at, 2) != kOrientation || number(at + 4, 4) != 1) continue;
        const uint32_t type = number(at + 2, 2);
        const int bytes = type == 1 ? 1 : type == 3 ? 2 : type == 4 ? 4 : 0;
        if (bytes == 0) continue;
        const uint32_t value = number(at + 8, bytes);
        return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
    }
    return -1;
}

// Looks for tiff:Orientation="6", or an element of this name.
int xmp_orientation(Span xmp) {
    static const char kName[] = "tiff:Orientation";
    const auto* end = xmp.data + xmp.size;
    for (const uint8_t* at = xmp.data; at != nullptr && at < end; ++at) {
        at = std::search(at, end, kName, kName + sizeof kName - 1);
        if (at == end) return 1;
        const uint8_t* p = at + sizeof kName - 1;
        const auto skip = [&] {
            while (p < end && std::strchr(" \t\n\r\f\v", *p) != nullptr && *p != 0) ++p;
        };
        const auto take = [&](const char* allowed) {
            const bool is_there = p < end && *p != 0 && std::strchr(allowed, *p) != nullptr;
            p += is_there;
            return is_there;
        };
        skip();
        if (take("=")) {
            skip();
            if (!take("\"'")) continue;
        } else if (!take(">")) {
            continue;
        }
        skip();
        const int value = p < end && *p >= '2' && *p <= '8' ? *p++ - '0' : 0;
        skip();
        if (value != 0 && take("\"'<")) return value;
    }
    return 1;
}

}  // namespace

int orientation_of(Span exif, Span xmp) {
    const int of_exif = exif_orientation(exif);
    return of_exif > 0 ? of_exif : xmp_orientation(xmp);
}

int orientation_of(Span file) {
    const StillKind kind = kind_of(file);
    const Blocks found = kind == StillKind::kPng    ? blocks_of_png(file)
                         : kind == StillKind::kWebp ? blocks_of_webp(file)
                                                    : blocks_of_jpeg(file);
    return orientation_of(found.exif, found.xmp);
}

}  // namespace aec
