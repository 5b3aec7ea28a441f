// The head of an .aec file: its fields, and their ranges (FORMAT §2.1). codec/container/header.py is its twin.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/span.h"

namespace aec {

constexpr uint32_t kMaxSide = 65535;
constexpr uint64_t kDefaultMaxPixels = uint64_t{1} << 28;
constexpr int kMinTile = 64, kMaxTileLog2 = 6;
constexpr uint64_t kMaxTiles = 1 << 16;  // times the number of parts
constexpr int kMaxParts = 16;
constexpr uint32_t kMaxFirst = (1 << 14) - 1;
constexpr int kMaxError = 255;  // of an exact picture's samples, which the quality byte holds
constexpr uint8_t kMagic[4] = {0xD7, 'A', 'E', 'C'}, kVersion = 2;

// Bits of the byte flags, and of the byte that follows it if kMore is set.
enum HeadBits : int {
    kGray = 1,
    kMore = 8,
    kSections = 1,
    kAlpha = 2,
    kDeep = 4,
    kStored = 8,
    kMapped = 16,
    kParts = 32,
    kExact = 64,
};

// Kinds of metadata, in the order of their bits and of their sections.
enum Kind : int { kIcc, kExif, kXmp, kCicp, kBits, kExtra };
constexpr int kKindCount = 6;
const char* name_of(Kind kind);

using ModelId = std::array<uint8_t, 4>;
std::string text_of(const ModelId& id);  // "563817ea"

// What a reader allows, beside the format's own limits.
struct Limits {
    uint64_t max_pixels = kDefaultMaxPixels;
    uint32_t max_side = kMaxSide;
};

// A rectangle in pixels.
struct Area {
    uint32_t x, y, width, height;
    uint32_t right() const { return x + width; }
    uint32_t bottom() const { return y + height; }
    bool touches(const Area& other) const {
        return x < other.right() && other.x < right() && y < other.bottom() && other.y < bottom();
    }
    Area common(const Area& other) const;  // of areas that touch
};

struct Header {
    uint32_t width = 0, height = 0;
    int quality = 0;
    ModelId model_id = {};
    bool gray = false, alpha = false;
    uint32_t tile = 1024;
    int depth = 8;
    bool stored = false, mapped = false, exact = false;
    int parts = 1;
    int first = 0;
    int kinds = 0;  // bit i is set if there is a block of metadata of Kind i

    bool by_network() const { return !stored && !exact; }
    bool alpha_apart() const { return alpha && by_network(); }
    uint32_t across() const { return stored ? 1 : (width + tile - 1) / tile; }
    uint32_t down() const { return stored ? 1 : (height + tile - 1) / tile; }
    uint64_t n_tiles() const { return uint64_t{across()} * down(); }
    Area area_of(uint64_t tile_number) const;  // a stored picture has one tile, the whole picture
};

// A varint (FORMAT §1) at `at`, which is moved behind it. name: returns the field's name, for messages.
template <class Name>
uint32_t read_varint(Span data, size_t& at, Name name) {
    uint64_t value = 0;
    for (int i = 0; i < 5; ++i) {
        if (at + i >= data.size)
            throw Error(ErrorKind::kTruncated, "file ends at byte " + std::to_string(data.size) + ", inside " + name());
        const uint8_t byte = data.data[at + i];
        value |= static_cast<uint64_t>(byte & 0x7F) << (7 * i);
        if (byte >= 0x80) continue;
        if ((byte == 0 && i > 0) || value >> 32)
            throw Error(ErrorKind::kCorrupt, name() + " at byte " + std::to_string(at) +
                                                 " is not a number below 2^32 in its shortest form");
        at += i + 1;
        return static_cast<uint32_t>(value);
    }
    throw Error(ErrorKind::kCorrupt, name() + " at byte " + std::to_string(at) + " is longer than 5 bytes");
}

// Throws Error of kind kLimit if a picture is larger than is allowed.
void check_size(const Header& header, const Limits& limits);

// Parses the head at the beginning of a file; `end` is where it ends. Throws Error as FORMAT §2 says.
Header read_head(Span data, const Limits& limits, size_t& end);

}  // namespace aec
