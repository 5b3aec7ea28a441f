// Fuzz target: tables as a model file may hold them.
//
//   byte 0   bit 0: 0 one row comes from the input, 1 all do, as they stand
//            bit 1: (one row) its frequencies are weights, and are made to fit
//            bits 2-5: lanes_log2, mod 13
//   byte 1   the row that is looked at, 1 + mod 63
//   byte 2   where the symbols to try begin
//   one row: limit and raw bits, a byte each, 64 frequencies of 2 bytes; the others are a preset's
//   all:     64 limits, 64 raw bits, 64 x 64 frequencies
//   the rest: a payload
//
// Found wrong: a crash; rows refused that FORMAT §5 allows, or the other way round; a slot whose letter is not the one
// that has it; a symbol that does not come back.
#include "harness.h"

namespace aec::fuzz {
namespace {

// FORMAT §5, read for itself.
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

// Both ends of every letter and of every class of escapes, and a comb between them.
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
    const std::vector<uint64_t> segments = {symbols.size()};
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
