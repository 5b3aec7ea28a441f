// A fuzz target for the entropy coder with valid tables. The input determines everything else:
//
//   byte 0       bit 0: 0: the payload is taken from the input; 1: symbols are encoded, and the payload is then damaged
//                bit 1: number of threads, 1 or 2
//                bit 2: indexes and symbols may be out of range
//   byte 1       number of the tables, a preset of harness.h
//   byte 2       lanes_log2, modulo 14; 13 means automatic (used if bit 0 is 1)
//   bytes 3-4    number of symbols, modulo two rows of so many lanes plus 600
//   bytes 5-12   eight indexes; each position has one of these
//   bytes 13-16  borders between segments, in 1/256 of the number of symbols
//   the rest     if bit 0 is 0: the payload
//                if bit 0 is 1: a byte, the number of edits modulo 8; 4 bytes for each edit; then a byte for each
//                symbol, repeated as often as needed
//
// These count as errors: a crash; a result that depends on the instruction set or the number of threads; an encoder
// that accepts an argument out of range or refuses an allowed one; an undamaged payload that does not decode to its
// symbols; a payload that decodes, but differs from what the encoder writes for these symbols.
#include "harness.h"

namespace aec::fuzz {
namespace {

const std::shared_ptr<const Tables>& tables_of(uint8_t number) {
    static std::shared_ptr<const Tables> cache[256];
    if (!cache[number]) cache[number] = preset(number).make();
    return cache[number];
}

// Makes a symbol from a byte such that all kinds of symbols are likely: small ones, the first symbol of a letter,
// symbols near both ends of the plain letters, and the first and last symbols of the escapes' magnitude classes.
int symbol_of(uint8_t byte, const Tables& tables, int index) {
    const int low = byte & 31, around = low - 16;
    switch (byte >> 5) {
        case 4: return around * (1 << tables.raw_bits[index]);
        case 5: return upper_edge(tables, index) + around;
        case 6: return lower_edge(tables, index) + around;
        case 7: return low & 1 ? -(1 << (low >> 1)) : (1 << (low >> 1)) - 1;
        default: return byte - 64;
    }
}

// The fault that encode_cpu should report: the first symbol or index that FORMAT §5 does not let an encoder write.
Fault first_wrong(const std::vector<int16_t>& symbols, const std::vector<uint8_t>& indexes) {
    for (size_t i = 0; i < symbols.size(); ++i) {
        if (indexes[i] >= kIndexCount) return {Status::kIndex, i, indexes[i]};
        if (std::abs(symbols[i]) > kMaxSymbol) return {Status::kSymbol, i, symbols[i]};
        if (indexes[i] == 0 && symbols[i] != 0) return {Status::kNotZero, i, symbols[i]};
    }
    return {};
}

void damage(std::vector<uint8_t>& payload, int kind, size_t position, uint8_t value) {
    if (kind == 3) payload.insert(payload.begin() + static_cast<ptrdiff_t>(position % (payload.size() + 1)), value);
    if (payload.empty()) return;
    position %= payload.size();
    if (kind == 0) payload[position] ^= value;
    if (kind == 1) payload[position] = value;
    if (kind == 2) payload.resize(position);
}

void run(Input in) {
    const uint8_t flags = in.byte();
    const int threads = flags & 2 ? 2 : 1;
    const bool wild = flags & 4;
    const auto& tables = tables_of(in.byte());
    const int lanes = in.byte() % (kMaxLanesLog2 + 2), lanes_log2 = lanes > kMaxLanesLog2 ? kAutoLanes : lanes;
    const size_t n = in.word() % (2 * lane_count(std::min(lanes, kMaxLanesLog2)) + 600);

    uint8_t palette[8];
    for (uint8_t& index : palette) index = wild ? in.byte() : in.byte() % kIndexCount;
    std::vector<uint8_t> indexes(n);
    for (size_t i = 0; i < n; ++i) indexes[i] = palette[static_cast<uint32_t>(i) * 0x9E3779B1u >> 29];

    Vector<uint64_t> segments = {0, 0, 0, 0, n};
    for (int i = 0; i < 4; ++i) segments[i] = n * in.byte() / 256;
    std::sort(segments.begin(), segments.end());
    for (int i = 4; i > 0; --i) segments[i] -= segments[i - 1];

    if (!(flags & 1)) {
        const std::vector<uint8_t> payload(in.rest(), in.rest() + in.left());
        const Outcome outcome = decode_everywhere(tables, payload, indexes, segments, threads);
        require_canonical(*tables, payload, outcome, indexes, segments);
        return;
    }

    const int n_edits = in.byte() % 8;
    Input edits = in;
    for (int i = 0; i < 4 * n_edits; ++i) in.byte();
    std::vector<int16_t> symbols(n);
    for (size_t i = 0; i < n && in.left() > 0; ++i) {
        const int index = indexes[i] % kIndexCount, symbol = symbol_of(in.rest()[i % in.left()], *tables, index);
        symbols[i] = static_cast<int16_t>(wild ? symbol : std::clamp(symbol, -kMaxSymbol, kMaxSymbol) * (index != 0));
    }
    std::vector<uint8_t> payload;
    const Fault fault = encode_everywhere(*tables, symbols, indexes, segments, lanes_log2, threads, payload);
    AEC_REQUIRE(same(fault, first_wrong(symbols, indexes)));
    if (fault) return;

    const std::vector<uint8_t> undamaged = payload;
    for (int i = 0; i < n_edits; ++i) {
        const int kind = edits.byte() % 4, position = edits.word();
        damage(payload, kind, position, edits.byte());
    }
    const Outcome outcome = decode_everywhere(tables, payload, indexes, segments, threads);
    if (payload == undamaged) AEC_REQUIRE(!outcome.fault && outcome.symbols == symbols);
    require_canonical(*tables, payload, outcome, indexes, segments);
}

}  // namespace
}  // namespace aec::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    aec::fuzz::run({data, size});
    return 0;
}
