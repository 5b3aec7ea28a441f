#include "container/layout.h"

#include <zlib.h>

#include <algorithm>
#include <set>

#include "container/limits.h"

namespace aec {
namespace {

constexpr size_t kCrcBytes = 4;

unsigned long crc_of(Span data, unsigned long before) {
    while (data.size > 0) {  // zlib's lengths are 32-bit
        const size_t n = std::min<size_t>(data.size, 1 << 30);
        before = crc32(before, data.data, static_cast<uInt>(n));
        data = {data.data + n, data.size - n};
    }
    return before;
}

Vector<uint8_t> unpacked(Span packed, uint32_t whole) {
    if (packed.size == whole) return {packed.data, packed.data + packed.size};
    Vector<uint8_t> out(size_t{whole} + 1);  // a byte more, to see a stream that does not end where it should
    z_stream stream = {};
    if (inflateInit(&stream) != Z_OK) throw std::bad_alloc();
    stream.next_in = const_cast<uint8_t*>(packed.data);
    stream.avail_in = static_cast<uInt>(packed.size);
    stream.next_out = out.data();
    stream.avail_out = static_cast<uInt>(out.size());
    const int result = inflate(&stream, Z_FINISH);
    const bool right = result == Z_STREAM_END && stream.total_out == whole && stream.avail_in == 0;
    inflateEnd(&stream);
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    if (result == Z_DATA_ERROR || result == Z_NEED_DICT)
        throw Error(ErrorKind::kCorrupt, "metadata is not a zlib stream");
    if (!right)
        throw Error(ErrorKind::kCorrupt, "metadata does not inflate to exactly " + std::to_string(whole) + " bytes");
    out.resize(whole);
    return out;
}

}  // namespace

std::vector<ExtraBlock> extra_blocks(Span data) {
    constexpr size_t kTypeBytes = 4;
    const auto fail = [](const std::string& what) { throw Error(ErrorKind::kCorrupt, what); };
    std::vector<ExtraBlock> found;
    std::set<std::string> types;
    for (size_t at = 0; at < data.size;) {
        const Span type = data.part(at, at + kTypeBytes);
        at += type.size;
        const std::string name(reinterpret_cast<const char*>(type.data), type.size);
        const auto is_allowed = [](char c) {
            return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        };
        if (type.size < kTypeBytes || !std::all_of(name.begin(), name.end(), is_allowed))
            fail("extra block of a type that is not four ASCII letters and digits");
        if (!types.insert(name).second) fail("two extra blocks of type " + name + ": one is allowed");
        uint32_t length = 0;
        try {
            length = read_varint(data, at, [] { return std::string("length"); });
        } catch (const Error&) {
            fail("the length of extra block " + name + " is not as a file can have it");
        }
        if (length > data.size - at)
            fail("extra block " + name + " of " + std::to_string(length) + " bytes: " + std::to_string(data.size - at) +
                 " are left");
        found.push_back({name, data.part(at, at + length)});
        at += length;
    }
    return found;
}

Layout::Layout(Span data, const Limits& limits, bool allow_partial) : data_(data) {
    size_t head_bytes = 0;
    header_ = read_head(data, limits, head_bytes);
    for (int kind = 0; kind < kKindCount; ++kind) maps_ += has(static_cast<Kind>(kind));
    alphas_ = maps_ + header_.mapped;
    payloads_ = alphas_ + (header_.alpha_apart() ? header_.n_tiles() : 0);
    read_table(head_bytes);
    if (!allow_partial) check_size();
    const unsigned long head_crc = crc_of(data.part(0, head_bytes), crc32(0, nullptr, 0));
    states_.resize(size());
    for (size_t i = 0; i < size(); ++i) {
        states_[i] = compared(i, head_crc);
        if (!allow_partial && states_[i] != Presence::kWhole) fail_at(i, states_[i]);
    }
    if (allow_partial) check_partial(data.size > starts_.back());
}

// The offset at which the head ends, and each entry of the table: its fields, and then its checksum.
void Layout::read_table(size_t head_bytes) {
    const uint64_t n = payloads_ + header_.n_tiles() * header_.parts;
    if (n * (1 + kCrcBytes) > data_.size - head_bytes)
        throw Error(ErrorKind::kTruncated, "file ends at byte " + std::to_string(data_.size) + ": " +
                                               std::to_string(header_.n_tiles()) + " tiles cannot fit");
    entries_.reserve(n + 1);
    starts_.reserve(n + 1);
    entries_.push_back(head_bytes);
    Vector<uint32_t> lengths;
    lengths.reserve(n);
    std::vector<Kind> kept;
    for (int kind = 0; kind < kKindCount; ++kind)
        if (has(static_cast<Kind>(kind))) kept.push_back(static_cast<Kind>(kind));
    size_t at = head_bytes;
    for (size_t i = 0; i < n; ++i) {
        uint32_t length = read_varint(data_, at, [&] { return "the length of " + name_of_entry(i); });
        if (i < maps_) {
            wholes_.push_back(length);
            length = read_packed(at, length, kept[i]);
        }
        if (length < least(i))
            throw Error(ErrorKind::kCorrupt, name_of_entry(i) + " has length " + std::to_string(length) +
                                                 ": at least " + std::to_string(least(i)) + " is needed");
        at += kCrcBytes;
        if (at > data_.size)
            throw Error(ErrorKind::kTruncated,
                        "file ends at byte " + std::to_string(data_.size) + ", inside the tile table");
        lengths.push_back(length);
        entries_.push_back(at);
    }
    starts_.push_back(at);
    for (const uint32_t length : lengths) starts_.push_back(starts_.back() + length);
}

uint32_t Layout::read_packed(size_t& at, uint32_t whole, Kind kind) const {
    const std::string name = name_of(kind), fixed = std::to_string(fixed_length(kind));
    const std::string found = name + " metadata of " + std::to_string(whole) + " bytes";
    const bool is_fixed = fixed_length(kind) > 0;
    if (is_fixed && whole != fixed_length(kind)) throw Error(ErrorKind::kCorrupt, found + ": " + fixed + " are needed");
    if (whole > kMaxSection)
        throw Error(ErrorKind::kLimit, found + ": at most " + std::to_string(kMaxSection) + " are allowed");
    const uint32_t packed = read_varint(data_, at, [&] { return "the packed length of " + name + " metadata"; });
    const std::string to = found + ", packed to " + std::to_string(packed);
    if (packed > whole || (is_fixed && packed != whole))
        throw Error(ErrorKind::kCorrupt, to + (is_fixed ? ": must be the same" : ": must not be more"));
    if (packed < whole && whole > most_unpacked(packed))
        throw Error(ErrorKind::kLimit, to + ": at most " + std::to_string(most_unpacked(packed)));
    return packed;
}

// How many bytes the data of an entry has at least.
uint32_t Layout::least(size_t entry) const {
    if (entry < alphas_) return 1;
    return entry >= payloads_ && entry < payloads_ + header_.n_tiles() ? kMinPayload : 0;
}

void Layout::check_size() const {
    const uint64_t total = starts_.back() - starts_.front(), left = data_.size - starts_.front();
    if (total > left)
        throw Error(ErrorKind::kTruncated,
                    "payloads of " + std::to_string(total) + " bytes exceed the remaining " + std::to_string(left));
    if (total < left) throw Error(ErrorKind::kCorrupt, std::to_string(left - total) + " bytes after the last payload");
}

Presence Layout::compared(size_t entry, unsigned long head_crc) const {
    const Span data = data_of(entry);
    if (data.size < starts_[entry + 1] - starts_[entry]) return Presence::kCut;
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    static_cast<void>(head_crc);
    return Presence::kWhole;  // so that damage gets behind the checksums
#else
    const uint64_t crc_at = entries_[entry + 1] - kCrcBytes;
    const unsigned long found = crc_of(data, crc_of(data_.part(entries_[entry], crc_at), head_crc));
    unsigned long wanted = 0;
    for (size_t i = 0; i < kCrcBytes; ++i) wanted |= static_cast<unsigned long>(data_.data[crc_at + i]) << (8 * i);
    return found == wanted ? Presence::kWhole : Presence::kDamaged;
#endif
}

// What FORMAT §2.4 needs of a file that is not whole. is_surplus: there are bytes after its end.
void Layout::check_partial(bool is_surplus) const {
    size_t faults = 0, first_damaged = size();
    for (size_t i = 0; i < size(); ++i) {
        faults += states_[i] != Presence::kWhole;
        if (states_[i] == Presence::kDamaged) first_damaged = std::min(first_damaged, i);
    }
    if (faults == 0 && !is_surplus) return;
    if (header_.mapped && states_[maps_] != Presence::kWhole) fail_at(maps_, states_[maps_]);
    if (header_.stored && states_[payloads_] != Presence::kWhole) fail_at(payloads_, states_[payloads_]);
    if (first_damaged < size() && faults == size()) fail_at(first_damaged, Presence::kDamaged);
    if (data_.size <= starts_[payloads_])
        throw Error(ErrorKind::kTruncated,
                    "file ends at byte " + std::to_string(data_.size) + ", before its colours begin");
}

void Layout::fail_at(size_t entry, Presence state) const {
    if (state == Presence::kCut)
        throw Error(ErrorKind::kTruncated,
                    "file ends at byte " + std::to_string(data_.size) + ", inside " + name_of_entry(entry));
    throw Error(ErrorKind::kCorrupt,
                "checksum of " + name_of_entry(entry) + " does not match: the file was changed or damaged");
}

std::string Layout::name_of_entry(size_t entry) const {
    const std::string of = " of " + std::to_string(header_.n_tiles());
    if (entry < maps_) {
        int kind = 0;
        for (size_t left = entry; !has(static_cast<Kind>(kind)) || left-- > 0;) ++kind;
        return std::string(name_of(static_cast<Kind>(kind))) + " metadata";
    }
    if (entry < alphas_) return "the map of qualities";
    if (entry < payloads_) return "the alpha of tile " + std::to_string(entry - alphas_) + of;
    const uint64_t n = header_.n_tiles(), part = (entry - payloads_) / n, tile = (entry - payloads_) % n;
    const std::string of_part =
        header_.parts > 1 ? "part " + std::to_string(part) + " of " + std::to_string(header_.parts) + " of " : "";
    return of_part + "tile " + std::to_string(tile) + of;
}

int Layout::whole_parts(uint64_t tile) const {
    int n = 0;
    while (n < header_.parts && state(tile + n * header_.n_tiles()) == Presence::kWhole) ++n;
    return n;
}

size_t Layout::section_of(Kind kind) const {
    size_t at = 0;
    for (int before = 0; before < kind; ++before) at += has(static_cast<Kind>(before));
    return at;
}

Vector<uint8_t> Layout::metadata(Kind kind) const {
    const size_t entry = section_of(kind);
    Vector<uint8_t> block = unpacked(data_of(entry), wholes_[entry]);
    check_block(kind, {block.data(), block.size()}, header_.depth);
    return block;
}

void check_block(Kind kind, Span block, int depth) {
    const uint8_t* const values = block.data;
    if (kind == kCicp && (values[2] != 0 || values[3] > 1))
        throw Error(ErrorKind::kCorrupt, "code points of matrix " + std::to_string(values[2]) + " and range " +
                                             std::to_string(values[3]) + ": allowed are 0, and 0 or 1");
    if (kind == kBits && (values[0] < 1 || values[0] >= depth))
        throw Error(ErrorKind::kCorrupt, std::to_string(values[0]) + " significant bits in samples of " +
                                             std::to_string(depth) + ": allowed are 1.." + std::to_string(depth - 1));
    if (kind == kExtra) extra_blocks(block);  // looks at all of them
}

}  // namespace aec
