#include "container/header.h"

#include <cstring>

#include "base/hex.h"

namespace aec {
namespace {

constexpr uint8_t kCollectionMagic[4] = {0xD7, 'A', 'E', 'S'};
constexpr size_t kFixedBytes = sizeof kMagic + 1 + sizeof(ModelId) + 1 + 1;
constexpr int kReserved = 0b0110, kMoreReserved = 0b10000000;

[[noreturn]] void fail(ErrorKind kind, const std::string& message) { throw Error(kind, message); }

void check_magic(Span data) {
    const size_t n = std::min(data.size, sizeof kMagic);
    if (n > 0 && std::memcmp(data.data, kMagic, n) == 0) return;
    if (n == sizeof kMagic && std::memcmp(data.data, kCollectionMagic, n) == 0)
        fail(ErrorKind::kNotAec, "a collection of small pictures and not a single one");
    std::string found;
    for (size_t i = 0; i < n; ++i) found += (i ? " " : "") + hex(data.data[i]);
    fail(ErrorKind::kNotAec, "not an .aec file: starts with " + (found.empty() ? "nothing" : found));
}

uint8_t read_byte(Span data, size_t& at) {
    if (at >= data.size)
        fail(ErrorKind::kTruncated, "file ends at byte " + std::to_string(data.size) + ", inside the header");
    return data.data[at++];
}

void check_features(int flags, int more) {
    if (flags & kReserved)
        fail(ErrorKind::kVersion,
             "flags 0x" + hex(static_cast<uint8_t>(flags)) + " ask for a feature that this decoder does not know");
    if (more & kMoreReserved)
        fail(ErrorKind::kVersion, "flags 0x" + hex(static_cast<uint8_t>(more)) + " ask for a feature that this decoder does not know");
    if ((flags & kMore) && more == 0) fail(ErrorKind::kCorrupt, "a second byte of flags that says nothing");
}

// What the fields before the size must fulfil together.
void check_fields(const Header& header, int flags, int more) {
    if (flags >> 4 > kMaxTileLog2)
        fail(ErrorKind::kCorrupt, "tile side 64 << " + std::to_string(flags >> 4) + ": at most 64 << 6 is allowed");
    if ((more & (kStored | kExact)) && (more & (kMapped | kParts)))
        fail(ErrorKind::kCorrupt, "a picture that no network codes, and that has a map of qualities or parts");
    const bool named = header.model_id != ModelId{};
    if (header.stored && (header.quality != 0 || named || flags >> 4))
        fail(ErrorKind::kCorrupt, "a stored picture whose quality, model id or tile side is not 0");
    if (header.exact && (header.stored || named))
        fail(ErrorKind::kCorrupt, "an exact picture that is stored too, or whose model id is not 0");
    if (header.by_network() && (header.quality < 1 || header.quality > 100))
        fail(ErrorKind::kCorrupt, "quality " + std::to_string(header.quality) + ": must be 1..100");
}

void check_tiles(const Header& header) {
    const uint64_t n = header.n_tiles() * header.parts;
    if (n <= kMaxTiles) return;
    const std::string of_parts = header.parts > 1 ? " of " + std::to_string(header.parts) + " parts" : "";
    fail(ErrorKind::kLimit, std::to_string(header.n_tiles()) + " tiles of side " + std::to_string(header.tile) + of_parts +
                                ": at most " + std::to_string(kMaxTiles) + " are allowed, not " + std::to_string(n));
}

int read_kinds(Span data, size_t& at) {
    const int kinds = read_byte(data, at);
    if (kinds >> kKindCount)
        fail(ErrorKind::kVersion, "metadata of kinds 0x" + hex(static_cast<uint8_t>(kinds)) + ", of which this decoder does not know all");
    if (kinds == 0) fail(ErrorKind::kCorrupt, "metadata of kinds 0x00: there must be one");
    return kinds;
}

void read_parts(Span data, size_t& at, Header& header) {
    header.parts = read_byte(data, at);
    if (header.parts < 2 || header.parts > kMaxParts)
        fail(ErrorKind::kCorrupt, std::to_string(header.parts) + " parts of each tile: must be 2..16");
    const uint32_t first = read_varint(data, at, [] { return std::string("the number of channels in the first pass"); });
    if (first > kMaxFirst)
        fail(ErrorKind::kCorrupt, std::to_string(first) + " channels in the first pass: at most 16383 are allowed");
    header.first = static_cast<int>(first);
}

}  // namespace

const char* name_of(Kind kind) {
    switch (kind) {
        case kIcc: return "icc";
        case kExif: return "exif";
        case kXmp: return "xmp";
        case kCicp: return "cicp";
        case kBits: return "bits";
        case kExtra: return "extra";
    }
    return "unknown";
}

std::string text_of(const ModelId& id) { return hex({id.data(), id.size()}); }

Area Area::common(const Area& other) const {
    const uint32_t left = std::max(x, other.x), top = std::max(y, other.y);
    return {left, top, std::min(right(), other.right()) - left, std::min(bottom(), other.bottom()) - top};
}

Area Header::area_of(uint64_t tile_number) const {
    if (stored) return {0, 0, width, height};
    const auto x = static_cast<uint32_t>(tile_number % across()) * tile;
    const auto y = static_cast<uint32_t>(tile_number / across()) * tile;
    return {x, y, std::min(tile, width - x), std::min(tile, height - y)};
}

void check_size(const Header& header, const Limits& limits) {
    const std::string image = "image of " + std::to_string(header.width) + "x" + std::to_string(header.height);
    const uint32_t max_side = std::min(limits.max_side, kMaxSide);
    if (std::max(header.width, header.height) > max_side)
        fail(ErrorKind::kLimit, image + ": a side may have at most " + std::to_string(max_side) + " pixels");
    const uint64_t pixels = uint64_t{header.width} * header.height;
    if (pixels > limits.max_pixels)
        fail(ErrorKind::kLimit, image + " has " + std::to_string(pixels) + " pixels: at most " +
                                    std::to_string(limits.max_pixels) + " are allowed");
}

Header read_head(Span data, const Limits& limits, size_t& end) {
    check_magic(data);
    if (data.size > sizeof kMagic && data.data[sizeof kMagic] != kVersion)
        fail(ErrorKind::kVersion, "format version " + std::to_string(data.data[sizeof kMagic]) + ": this decoder knows 2");
    if (data.size < kFixedBytes)
        fail(ErrorKind::kTruncated, "file ends at byte " + std::to_string(data.size) + ", inside the header");
    Header header;
    std::copy_n(data.data + sizeof kMagic + 1, header.model_id.size(), header.model_id.begin());
    header.quality = data.data[9];
    const int flags = data.data[10];
    size_t at = kFixedBytes;
    check_features(flags & ~kMore, 0);
    const int more = flags & kMore ? read_byte(data, at) : 0;
    check_features(flags, more);
    header.gray = flags & kGray;
    header.alpha = more & kAlpha;
    header.depth = more & kDeep ? 16 : 8;
    header.stored = more & kStored;
    header.mapped = more & kMapped;
    header.exact = more & kExact;
    check_fields(header, flags, more);
    header.tile = kMinTile << (flags >> 4);
    header.width = read_varint(data, at, [] { return std::string("the width"); });
    header.height = read_varint(data, at, [] { return std::string("the height"); });
    if (header.width == 0 || header.height == 0)
        fail(ErrorKind::kCorrupt, "image of " + std::to_string(header.width) + "x" + std::to_string(header.height) +
                                      ": both sides must be at least 1");
    check_size(header, limits);
    if (more & kSections) header.kinds = read_kinds(data, at);
    if (more & kParts) read_parts(data, at, header);
    check_tiles(header);
    end = at;
    return header;
}

}  // namespace aec
