// The coder: rANS with 32-bit states and 16-bit words (FORMAT §4, §5). Every line that decides a byte of a tile's
// payload is in this file, is integer-only, and is compiled by g++ and by nvcc.
//
// READ ME FIRST
//  1. rANS is a stack: what is put last is got first. The decoder walks forwards; the encoder does exactly the same
//     steps backwards (segments, rows, phases, lanes) and writes its words from the end of the buffer to the front.
//  2. put and get do not touch memory. A state that got may `want_word`; before a put it may be `full` and must give
//     one up. Handing words out, in lane order, is scheduling: a loop in coder_scalar.cpp, a ballot in coder_kernels.cuh.
//  3. One word is always enough, on both sides; the proofs stand beside the code.
//
// Source: Duda 2013 (arXiv:1311.2540); interleaved lanes, Giesen 2014 (arXiv:1402.3392).
#pragma once

#include "base/portable.h"

namespace aec {

// ------------------------------------------------------------------------------------------------ constants, FORMAT §5

constexpr int kScaleBits = 14;                   // probabilities are n / 2^14
constexpr uint32_t kScale = 1u << kScaleBits;
constexpr uint32_t kLowerBound = 1u << 16;       // a state x rests in 2^16 <= x < 2^32: one 16-bit word apart
constexpr int kIndexCount = 64;                  // tables; number 0 is "surely zero" and has no table
constexpr int kMaxLimit = 31;
constexpr int kMaxAlphabet = 2 * kMaxLimit + 2;  // -31..31 and the escape
constexpr int kMaxRawBits = 8;
constexpr int kEscapeHeadBits = 5;               // 4 bits of magnitude class n, 1 of sign
constexpr int kMaxEscapeClass = 13;
constexpr int kMaxSymbol = 16383;
constexpr int kMaxWordsPerSymbol = 3;            // one a phase

static_assert(kLowerBound >= kScale * 4, "x div 2^14 must stay >= 4, or coarse states cost rate");
static_assert(kMaxAlphabet <= 256, "slots[] holds letters in a byte");
static_assert((1 << (kMaxEscapeClass + 1)) - 2 >= kMaxSymbol - 1,
              "class 13 must reach kMaxSymbol from the nearest edge, 1");
static_assert(((kMaxLimit + 1) << kMaxRawBits) + (1 << (kMaxEscapeClass + 1)) - 2 <= INT16_MAX,
              "whatever a file says, a decoded symbol fits int16");

// ----------------------------------------------------------------------------------------------------------- one state

using State = uint32_t;

AEC_HD State init() { return kLowerBound; }

AEC_HD uint32_t slot_of(State x) { return x & (kScale - 1); }

// In range: x div 2^14 <= 2^18 - 1 and slot - start < freq, so the result is below freq * 2^18 < 2^32.
AEC_HD State get(State x, uint32_t start, uint32_t freq) { return freq * (x >> kScaleBits) + slot_of(x) - start; }

// After a get x >= freq * (2^16 div 2^14) >= 4, so after one word x >= 4 * 2^16.
AEC_HD bool wants_word(State x) { return x < kLowerBound; }
AEC_HD State refill(State x, uint32_t word) { return x << 16 | word; }

// get_bits(k) is get with 2^k equal intervals; 1 <= k <= kScaleBits - 1.
AEC_HD uint32_t peek_bits(State x, int bits) { return slot_of(x) >> (kScaleBits - bits); }
AEC_HD State get_bits(State x, int bits) {
    const uint32_t freq = 1u << (kScaleBits - bits);
    return (x >> kScaleBits << (kScaleBits - bits)) + (x & (freq - 1));
}

// A put of an interval this wide would overflow: give the low word up first. Afterwards x < 2^16 <= freq * 2^18.
AEC_HD bool full(State x, uint32_t freq) { return x >> (32 - kScaleBits) >= freq; }

// floor(x / freq) for x < freq * 2^18 as a multiplication: with r = ceil(2^46 / freq) = (2^46 + e) / freq, e < freq,
//   x * r / 2^46 = x / freq + x * e / (freq * 2^46), and x * e < freq^2 * 2^18 <= 2^46: short of the next integer;
//   x * r <= (2^18 - 1 / freq) * 2^46 + x < 2^64, because x < 2^32 < 2^46 / freq.
constexpr int kReciprocalBits = 46;
static_assert(kReciprocalBits == 2 * kScaleBits + 18 && kReciprocalBits + 18 == 64, "derivation above");

AEC_HD uint64_t reciprocal_of(uint32_t freq) { return ((1ull << kReciprocalBits) + freq - 1) / freq; }

// The inverse of get. x >= 2^16, or 4 * freq <= x if a word was given up: the result is >= 4 * 2^14 = 2^16.
AEC_HD State put(State x, uint32_t start, uint32_t freq, uint64_t reciprocal) {
    const uint32_t quotient = static_cast<uint32_t>(x * reciprocal >> kReciprocalBits);
    return (quotient << kScaleBits) + (x - quotient * freq) + start;
}

AEC_HD State put_bits(State x, uint32_t value, int bits) {
    const uint32_t freq = 1u << (kScaleBits - bits);
    return (x >> (kScaleBits - bits) << kScaleBits) + (value << (kScaleBits - bits)) + (x & (freq - 1));
}

// Bytes, so that neither alignment nor the host's endianness matters; g++ makes one access of two where it may.
AEC_HD uint32_t load_word(const uint8_t* p) { return p[0] | static_cast<uint32_t>(p[1]) << 8; }
AEC_HD void store_word(uint8_t* p, uint32_t word) {
    p[0] = static_cast<uint8_t>(word);
    p[1] = static_cast<uint8_t>(word >> 8);
}
AEC_HD State load_state(const uint8_t* p) { return load_word(p) | load_word(p + 2) << 16; }
AEC_HD void flush(uint8_t* p, State x) {
    store_word(p, x);
    store_word(p + 2, x >> 16);
}

// -------------------------------------------------------------------------------------------------------------- tables

// A symbol between two phases of its decoding: so far it is `value`; the next phase reads `bits` bits (0: complete).
enum Step : uint8_t { kAdd, kSubtract, kEscape, kBroken };  // what to do with those bits
struct Partial {
    int16_t value;
    uint8_t bits;
    Step step;
};

// Which letter a slot belongs to is looked up by the slot's high bits. Most buckets hold at most one boundary between
// letters: the first letter, plus one past the boundary, is the answer. The rest walk on; those are tails, and rare.
constexpr int kBucketBits = 6;
constexpr uint32_t kBucketSize = 1u << kBucketBits;
constexpr int kBuckets = kScale >> kBucketBits;

// Plain data, so that it can be copied to a device byte by byte. Built and checked by tables.h. What get reads takes
// 48 KB, the first-level cache of a core, or a part of a multiprocessor's shared memory.
// Row 0, "surely zero", is one letter that has all slots: coding it changes nothing, should it ever be asked for.
struct Tables {
    uint16_t buckets[kIndexCount][kBuckets];         // first letter | boundary within the bucket << 8
    uint32_t intervals[kIndexCount][kMaxAlphabet];   // start | freq << 16
    uint8_t limits[kIndexCount];
    uint8_t raw_bits[kIndexCount];
    uint64_t reciprocals[kIndexCount][kMaxAlphabet];  // for put
    uint8_t costs[kIndexCount];                       // what a symbol is expected to take, in 1/16 bit
};

static_assert(offsetof(Tables, reciprocals) <= 48 * 1024 + 2 * kIndexCount, "see above");

AEC_HD uint32_t start_of(uint32_t interval) { return interval & 0xFFFF; }
AEC_HD uint32_t freq_of(uint32_t interval) { return interval >> 16; }

// ------------------------------------------------------------------------------------------ one symbol, phase by phase

AEC_HD uint32_t letter_of(const Tables& tables, uint32_t index, uint32_t slot) {
    const uint32_t bucket = tables.buckets[index][slot >> kBucketBits];
    uint32_t letter = (bucket & 0xFF) + ((slot & (kBucketSize - 1)) >= bucket >> 8);
    // The last letter's interval ends at kScale, so this ends.
    for (uint32_t i; i = tables.intervals[index][letter], slot - start_of(i) >= freq_of(i);) ++letter;
    return letter;
}

// Phase 0.
AEC_HD State decode_letter(State x, const Tables& tables, uint32_t index, Partial& partial) {
    const uint32_t slot = slot_of(x), letter = letter_of(tables, index, slot);
    const uint32_t interval = tables.intervals[index][letter];
    const int limit = tables.limits[index], raw_bits = tables.raw_bits[index];
    const bool escape = static_cast<int>(letter) > 2 * limit;
    partial.value = static_cast<int16_t>(escape ? 0 : (static_cast<int>(letter) - limit) * (1 << raw_bits));
    partial.bits = static_cast<uint8_t>(escape ? kEscapeHeadBits : raw_bits);
    partial.step = escape ? kEscape : kAdd;
    return get(x, start_of(interval), freq_of(interval));
}

// Phase 1 of an escape read `head`: what it means. kBroken: no such escape.
AEC_HD Partial after_escape_head(const Tables& tables, uint32_t index, int head) {
    const int n = head >> 1;
    if (n > kMaxEscapeClass) return {0, 0, kBroken};
    const int limit = tables.limits[index], width = 1 << tables.raw_bits[index], first = (1 << n) - 1;
    return {static_cast<int16_t>(head & 1 ? -limit * width - 1 - first : (limit + 1) * width + first),
            static_cast<uint8_t>(n), head & 1 ? kSubtract : kAdd};
}

// Phases 1 and 2: call while partial.bits > 0, which is at most twice.
AEC_HD State decode_more(State x, const Tables& tables, uint32_t index, Partial& partial) {
    const int r = static_cast<int>(peek_bits(x, partial.bits));
    x = get_bits(x, partial.bits);
    if (partial.step == kEscape) {
        partial = after_escape_head(tables, index, r);
    } else {
        partial.value = static_cast<int16_t>(partial.step == kAdd ? partial.value + r : partial.value - r);
        partial.bits = 0;
    }
    return x;
}

// What the phases of one symbol put: a letter, then `bits[p - 1]` bits in phase p (0: no such phase).
struct Parts {
    uint8_t letter;
    uint8_t bits[2];
    uint16_t value[2];
};

AEC_HD Parts split(const Tables& tables, uint32_t index, int symbol) {
    const int limit = tables.limits[index], k = tables.raw_bits[index];
    const int letter = (symbol >> k) + limit;  // arithmetic shift: the floor, also below zero
    if (static_cast<uint32_t>(letter) <= static_cast<uint32_t>(2 * limit)) {
        const int low = symbol & ((1 << k) - 1);
        return {static_cast<uint8_t>(letter), {static_cast<uint8_t>(k), 0}, {static_cast<uint16_t>(low), 0}};
    }
    const int sign = symbol < 0;
    const int magnitude = sign ? -symbol - (limit << k) : symbol - ((limit + 1) << k) + 1;  // e + 1 >= 1
    int n = 0;
    while (magnitude >> (n + 1)) ++n;
    return {static_cast<uint8_t>(2 * limit + 1),
            {kEscapeHeadBits, static_cast<uint8_t>(n)},
            {static_cast<uint16_t>(2 * n + sign), static_cast<uint16_t>(magnitude - (1 << n))}};
}

}  // namespace aec
