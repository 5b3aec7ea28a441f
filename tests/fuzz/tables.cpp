// A fuzz target for the coder's tables, since a model file may hold any. The input:
//
//   byte 0    bit 0: 0: the input has one row of the tables, and the others are a preset's; 1: the input has all rows
//             bit 1: with one row: its frequencies are only weights, from which valid frequencies are made
//             bits 2-5: lanes_log2, modulo 13
//   byte 1    the row to test: 1 + byte modulo 63
//   byte 2    the offset of the symbols to try
//   one row:  limit and raw bits, a byte each; 64 frequencies of 2 bytes
//   all rows: 64 limits, 64 raw bits, 64 x 64 frequencies
//   the rest: a payload
//
// These count as errors: a crash; tables that are refused although FORMAT §5 allows them, or accepted although it does
// not; a slot for which letter_of finds another letter than the one whose interval holds it; a symbol that does not
// decode to itself.
#include "harness.h"

namespace aec::fuzz {
namespace {

// Whether FORMAT §5 allows a row. Written from the format, and not from the code that is tested.
bool is_right(const Model& model, int index) {
    if (model.limits[index] > 31 || model.raw_bits[index] > 8) return false;
    const int n = 2 * model.limits[index] + 2;
    uint32_t total = 0;
    for (int a = 0; a < kMaxAlphabet; ++a) {
        if ((model.freqs[index][a] > 0) != (a < n)) return false;
        total += model.freqs[index][a];
    }
    return total == 1u << 14;
}

void check_slots(const Model& model, const Tables& tables, int index) {
    uint32_t letter = 0, end = model.freqs[index][0];
    for (uint32_t slot = 0; slot < kScale; ++slot) {
        if (slot == end) end += model.freqs[index][++letter];
        AEC_REQUIRE(letter_of(tables, index, slot) == letter);
    }
}

// The first and last symbol of every letter and of every magnitude class of escapes, and every 256th symbol of the
// whole range, from `offset` on.
std::vector<int16_t> symbols_to_try(const Tables& tables, int index, int offset) {
    std::vector<int16_t> symbols;
    const auto add = [&](int symbol) {
        if (std::abs(symbol) <= kMaxSymbol) symbols.push_back(static_cast<int16_t>(symbol));
    };
    const int low = lower_edge(tables, index), high = upper_edge(tables, index), width = 1 << tables.raw_bits[index];
    for (int first = low; first <= high; first += width) {
        add(first);
        add(first + width - 1);
    }
    for (int n = 0; n <= kMaxEscapeClass + 1; ++n) {
        for (const int e : {(1 << n) - 2, (1 << n) - 1}) {
            if (e < 0) continue;
            add(high + 1 + e);
            add(low - 1 - e);
        }
    }
    add(kMaxSymbol);
    add(-kMaxSymbol);
    for (int symbol = -kMaxSymbol + offset; symbol <= kMaxSymbol; symbol += 256) add(symbol);
    return symbols;
}

void run(Input in) {
    const uint8_t flags = in.byte();
    const bool all = flags & 1, fit = !all && flags & 2;
    const int lanes_log2 = (flags >> 2) % (kMaxLanesLog2 + 1);
    const int index = 1 + in.byte() % (kIndexCount - 1), offset = in.byte();

    Model model = all ? Model() : preset(0);
    const int first = all ? 0 : index, last = all ? kIndexCount - 1 : index;
    for (int i = first; i <= last; ++i) model.limits[i] = in.byte();
    for (int i = first; i <= last; ++i) model.raw_bits[i] = in.byte();
    for (int i = first; i <= last; ++i)
        for (uint16_t& freq : model.freqs[i]) freq = in.word();
    if (fit) {
        uint32_t weights[kMaxAlphabet];
        std::copy_n(model.freqs[index], kMaxAlphabet, weights);
        model.fit(index, model.limits[index] % (kMaxLimit + 1), model.raw_bits[index] % (kMaxRawBits + 1), weights,
                  offset);
    }

    bool right = true;
    for (int i = 1; i < kIndexCount; ++i) right = right && is_right(model, i);
    AEC_REQUIRE(right || !fit);
    std::shared_ptr<const Tables> tables;
    try {
        tables = model.make();
    } catch (const std::invalid_argument&) {
    }
    AEC_REQUIRE(right == (tables != nullptr));
    if (!right) return;

    check_slots(model, *tables, index);
    const std::vector<int16_t> symbols = symbols_to_try(*tables, index, offset);
    const std::vector<uint8_t> indexes(symbols.size(), static_cast<uint8_t>(index));
    const Vector<uint64_t> segments = {symbols.size()};
    std::vector<uint8_t> payload;
    AEC_REQUIRE(!encode_everywhere(*tables, symbols, indexes, segments, lanes_log2, 1, payload));
    const Outcome outcome = decode_everywhere(tables, payload, indexes, segments, 1);
    AEC_REQUIRE(!outcome.fault && outcome.symbols == symbols);
    const std::vector<uint8_t> other(in.rest(), in.rest() + in.left());
    require_canonical(*tables, other, decode_everywhere(tables, other, indexes, segments, 1), indexes, segments);
}

}  // namespace
}  // namespace aec::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    aec::fuzz::run({data, size});
    return 0;
}
