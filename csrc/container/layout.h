// Parses a whole .aec file: its head, its table and its data (FORMAT §2.2 to §2.5), and compares all checksums.
// codec/container/format.py is its twin, and its oracle in tests.
#pragma once

#include <vector>

#include "base/memory.h"
#include "container/header.h"

namespace aec {

// An extra block (FORMAT §2.5) within the data of their entry.
struct ExtraBlock {
    std::string type;  // four ASCII letters and digits
    Span data;
};
// Takes the data of the entry apart. Throws Error of kind kCorrupt.
std::vector<ExtraBlock> extra_blocks(Span data);

// Throws Error of kind kCorrupt unless FORMAT §2.5 allows a block of metadata, which has a length that it allows, for
// samples of so many bits.
void check_block(Kind kind, Span block, int depth);

// What there is of the data of an entry of the table.
enum class Presence : uint8_t { kWhole, kCut, kDamaged };

// A parsed file. It points into the file's bytes, which must outlive it. Memory is only allocated in proportion to the
// bytes that are really there.
class Layout {
public:
    // allow_partial: read also what FORMAT §2.4 allows. Throws Error.
    Layout(Span data, const Limits& limits, bool allow_partial);

    const Header& header() const { return header_; }
    Span payload(uint64_t number) const { return data_of(payloads_ + number); }  // number: part * n_tiles + tile
    Presence state(uint64_t number) const { return states_[payloads_ + number]; }
    int whole_parts(uint64_t tile) const;  // how many parts of a tile come before the first that is not whole
    Span alpha(uint64_t tile) const { return data_of(alphas_ + tile); }  // only if header().alpha_apart()
    Presence alpha_state(uint64_t tile) const { return states_[alphas_ + tile]; }
    Span quality_map() const { return data_of(maps_); }  // only if header().mapped

    bool has(Kind kind) const { return header_.kinds >> kind & 1; }  // whole or not
    // Whether the metadata inside a stored picture counts: the file has none, whole or not, but such as may stand beside.
    bool own_metadata_counts() const { return (header_.kinds & ~(1 << kBits | 1 << kExtra)) == 0; }
    Presence metadata_state(Kind kind) const { return states_[section_of(kind)]; }
    // Inflates and checks a block that `has` tells of. Throws Error.
    Vector<uint8_t> metadata(Kind kind) const;

    // The size at which the file holds all parts up to this one of every tile.
    uint64_t stage_bytes(int part) const { return starts_[payloads_ + header_.n_tiles() * (part + 1)]; }

private:
    Span data_of(size_t entry) const { return data_.part(starts_[entry], starts_[entry + 1]); }
    size_t section_of(Kind kind) const;
    size_t size() const { return entries_.size() - 1; }
    void read_table(size_t head_bytes);
    uint32_t read_packed(size_t& at, uint32_t whole, Kind kind) const;
    uint32_t least(size_t entry) const;
    Presence compared(size_t entry, unsigned long head_crc) const;
    void check_size() const;
    void check_partial(bool is_surplus) const;
    [[noreturn]] void fail_at(size_t entry, Presence state) const;
    std::string name_of_entry(size_t entry) const;

    Span data_;
    Header header_;
    size_t maps_ = 0, alphas_ = 0, payloads_ = 0;  // numbers of the first entries behind metadata, map and alphas
    Vector<uint32_t> wholes_;                 // of each block of metadata, its length when it is inflated
    // Offsets in the file at which the entries, and their data, start; and at which the last of them ends.
    Vector<uint64_t> entries_, starts_;
    Vector<Presence> states_;
};

}  // namespace aec
