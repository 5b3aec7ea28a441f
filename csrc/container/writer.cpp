#include "container/writer.h"

#include <zlib.h>

#include <stdexcept>

#include "base/varint.h"
#include "container/limits.h"

namespace aec {
namespace {

void require(bool right, const std::string& message) {
    if (!right) throw std::invalid_argument(message);
}

uLong crc_of(uLong crc, const void* data, size_t size) {
    return crc32_z(crc, static_cast<const Bytef*>(data), size);
}

void check(const FileParts& parts) {
    const Header& h = parts.header;
    const uint64_t n = h.n_tiles();
    require(parts.payloads.size() == n * h.parts, std::to_string(parts.payloads.size()) + " payloads for " +
                                                      std::to_string(n) + " tiles of " + std::to_string(h.parts) +
                                                      " parts");
    require(parts.alphas.size() == (h.alpha_apart() ? n : 0),
            std::to_string(parts.alphas.size()) + " alpha payloads for " + std::to_string(n) + " tiles");
    require(parts.quality_map.empty() != h.mapped,
            "a map of qualities must be given if and only if the header has one");
    for (uint64_t i = 0; i < n; ++i)
        require(parts.payloads[i].size() >= kMinPayload,
                "payload of " + std::to_string(parts.payloads[i].size()) + " bytes: at least " +
                    std::to_string(kMinPayload) + " are needed");
    for (int kind = 0; kind < kKindCount; ++kind)
        if (const size_t size = parts.metadata[kind].size) check_block_length(static_cast<Kind>(kind), size);
}

// The head, which every checksum covers.
ByteString head_of(const Header& h, int kinds) {
    int tile_log2 = 0;
    while (uint32_t{kMinTile} << tile_log2 < h.tile) ++tile_log2;
    const int more = (kinds ? kSections : 0) | (h.alpha ? kAlpha : 0) | (h.depth == 16 ? kDeep : 0) |
                     (h.stored ? kStored : 0) | (h.mapped ? kMapped : 0) | (h.parts > 1 ? kParts : 0) |
                     (h.exact ? kExact : 0);
    const int flags = (h.gray ? kGray : 0) | (more ? kMore : 0) | tile_log2 << 4;
    ByteString head(reinterpret_cast<const char*>(kMagic), sizeof kMagic);
    head.push_back(kVersion);
    head.append(h.model_id.begin(), h.model_id.end());
    head.push_back(static_cast<char>(h.quality));
    head.push_back(static_cast<char>(flags));
    if (more) head.push_back(static_cast<char>(more));
    append_varint(head, h.width);
    append_varint(head, h.height);
    if (kinds) head.push_back(static_cast<char>(kinds));
    if (h.parts > 1) {
        head.push_back(static_cast<char>(h.parts));
        append_varint(head, h.first);
    }
    return head;
}

// A block compressed by zlib; or as it is, if that is not shorter, or too much shorter to be allowed.
ByteString packed(Span block) {
    uLongf size = compressBound(block.size);
    ByteString out(size, 0);
    if (compress2(reinterpret_cast<Bytef*>(out.data()), &size, block.data, block.size, Z_BEST_COMPRESSION) != Z_OK)
        throw std::bad_alloc();
    out.resize(size);
    if (size < block.size && block.size <= most_unpacked(size)) return out;
    return {reinterpret_cast<const char*>(block.data), block.size};
}

// The table of lengths and checksums, and the data that it describes.
struct Entries {
    explicit Entries(const ByteString& head) : head_crc(crc_of(0, head.data(), head.size())) {}

    void add(const ByteString& lengths, ByteString bytes) {
        table += lengths;
        const uLong crc = crc_of(crc_of(head_crc, lengths.data(), lengths.size()), bytes.data(), bytes.size());
        for (int i = 0; i < 4; ++i) table.push_back(static_cast<char>(crc >> (8 * i)));
        data += bytes;
    }
    void add(const ByteString& bytes) {
        ByteString length;
        append_varint(length, bytes.size());
        add(length, bytes);
    }

    const uLong head_crc;
    ByteString table, data;
};

}  // namespace

void check_header(const Header& h) {
    const int least = h.by_network() ? 1 : 0, most = h.by_network() ? 100 : h.exact ? kMaxError : 0;
    require(!(h.stored && h.exact), "a picture is either stored or exact");
    require(h.quality >= least && h.quality <= most, std::string(h.exact ? "largest error " : "quality ") +
                                                         std::to_string(h.quality) + ": allowed are " +
                                                         std::to_string(least) + ".." + std::to_string(most));
    require(h.by_network() || (h.model_id == ModelId{} && !h.mapped && h.parts == 1),
            "a stored or exact picture has no model, no map of qualities and one part");
    require(!h.stored || h.tile == kMinTile, "a stored picture has no tiles");
    require(h.depth == 8 || h.depth == 16, "depth " + std::to_string(h.depth) + ": allowed are 8 and 16 bits a sample");
    int log2 = 0;
    while (log2 < kMaxTileLog2 && uint32_t{kMinTile} << log2 != h.tile) ++log2;
    require(uint32_t{kMinTile} << log2 == h.tile,
            "tile side " + std::to_string(h.tile) + ": allowed are 64, 128, .. 4096");
    require(h.parts >= 1 && h.parts <= kMaxParts, std::to_string(h.parts) + " parts of each tile: allowed are 1..16");
    require(h.first >= 0 && h.first <= static_cast<int>(kMaxFirst) && (h.first == 0 || h.parts > 1),
            std::to_string(h.first) + " channels in the first pass: allowed are 0..16383, and 0 without parts");
    const std::string image = "image of " + std::to_string(h.width) + "x" + std::to_string(h.height);
    require(h.width >= 1 && h.height >= 1, image + ": both sides must be at least 1");
    if (std::max(h.width, h.height) > kMaxSide || uint64_t{h.width} * h.height > kDefaultMaxPixels)
        throw Error(ErrorKind::kLimit, image + ": allowed are sides up to 65535 and 2^28 pixels");
    const uint64_t n = h.n_tiles();
    if (n * h.parts > kMaxTiles)
        throw Error(ErrorKind::kLimit,
                    std::to_string(n) + " tiles of " + std::to_string(h.parts) + " parts: at most 65536 are allowed");
}

void check_block_length(Kind kind, size_t size) {
    const size_t fixed = fixed_length(kind), needed = fixed > 0 ? fixed : size;
    const std::string block = std::string(name_of(kind)) + " metadata of " + std::to_string(size) + " bytes: ";
    require(size == needed, block + std::to_string(needed) + " are needed");
    if (size > kMaxSection)
        throw Error(ErrorKind::kLimit, block + "at most " + std::to_string(kMaxSection) + " are allowed");
}

ByteString write_file(const FileParts& parts) {
    check_header(parts.header);
    check(parts);
    int kinds = 0;
    for (int kind = 0; kind < kKindCount; ++kind) kinds |= (parts.metadata[kind].size > 0) << kind;
    const ByteString head = head_of(parts.header, kinds);
    Entries entries(head);
    for (const Span& block : parts.metadata) {
        if (block.size == 0) continue;
        ByteString bytes = packed(block), lengths;
        append_varint(lengths, block.size);
        append_varint(lengths, bytes.size());
        entries.add(lengths, std::move(bytes));
    }
    if (parts.header.mapped) entries.add(parts.quality_map);
    for (const ByteString& alpha : parts.alphas) entries.add(alpha);
    for (const ByteString& payload : parts.payloads) entries.add(payload);
    return head + entries.table + entries.data;
}

}  // namespace aec
