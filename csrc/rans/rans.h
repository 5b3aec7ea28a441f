// The entropy coder: rANS with 32-bit states and 16-bit words (FORMAT §4, §5). All arithmetic that decides a byte of a
// tile's payload is in this file. It uses integers only, and both g++ and nvcc compile it. (The vector coder repeats
// the arithmetic in SIMD instructions; coder_vector.h names the functions that it repeats.)
//
// READ ME FIRST
//  1. rANS is a stack: the symbol that was encoded last is decoded first. The decoder reads symbols and words forwards.
//     The encoder does the same steps in exactly the opposite order (the last segment first, and so on for rows, phases
//     and lanes) and writes its words from the end of the buffer towards the front.
//  2. put (encode one interval) and get (decode one) change only the state x, and never touch memory. After a get, a
//     state that wants_word() is refilled with the next 16-bit word of the stream. Before a put, a state that is full()
//     first gives up its low 16 bits as a word. Many lanes share a stream, and take and give their words in lane order:
//     coder_scalar.cpp does that in a loop over the lanes, coder_kernels.cuh with a warp vote.
//  3. One word is always enough, in a get and in a put. The proofs stand beside the code.
//
// Source: Duda 2013 (arXiv:1311.2540); interleaved lanes, Giesen 2014 (arXiv:1402.3392).
#pragma once

#include "base/portable.h"

namespace aec {

// ------------------------------------------------------------------------------------------------ constants, FORMAT §5

constexpr int kScaleBits = 14;                   // probabilities are n / 2^14
constexpr uint32_t kScale = 1u << kScaleBits;
constexpr uint32_t kLowerBound = 1u << 16;       // between operations 2^16 <= x < 2^32: a ratio of one 16-bit word
constexpr int kIndexCount = 64;                  // CDF tables; with index 0 a symbol is 0 for certain and takes no bits
constexpr int kMaxLimit = 31;                    // L of FORMAT §5: the plain letters are -L..L
constexpr int kMaxAlphabet = 2 * kMaxLimit + 2;  // letters: -31..31 and the escape
constexpr int kMaxRawBits = 8;                   // k of FORMAT §5: low bits of a symbol, stored without modelling
constexpr int kEscapeHeadBits = 5;               // of an escape: 4 bits of magnitude class n, then 1 bit of sign
constexpr int kMaxEscapeClass = 13;
constexpr int kMaxSymbol = 16383;                // an encoder writes only symbols of this magnitude or less
constexpr int kMaxWordsPerSymbol = 3;            // at most one word in each of the three phases

static_assert(kLowerBound >= kScale * 4, "x div 2^14 must stay >= 4, or coarse states cost rate");
static_assert(kMaxAlphabet <= 256, "the low byte of `buckets` holds a letter");
static_assert((1 << (kMaxEscapeClass + 1)) - 2 >= kMaxSymbol - 1,
              "class 13 must reach kMaxSymbol from the nearest edge, 1");
static_assert(((kMaxLimit + 1) << kMaxRawBits) + (1 << (kMaxEscapeClass + 1)) - 2 <= INT16_MAX,
              "whatever a file says, a decoded symbol fits int16");

// ----------------------------------------------------------------------------------------------------------- one state

using State = uint32_t;

AEC_HD State init() { return kLowerBound; }

AEC_HD uint32_t slot_of(State x) { return x & (kScale - 1); }

// Decodes one interval. The result stays within 32 bits: x div 2^14 <= 2^18 - 1 and slot - start < freq, so it is below
// freq * 2^18 <= 2^32.
AEC_HD State get(State x, uint32_t start, uint32_t freq) { return freq * (x >> kScaleBits) + slot_of(x) - start; }

// One word is enough: after a get x >= freq * (2^16 div 2^14) >= 4, so after one word x >= 4 * 2^16.
AEC_HD bool wants_word(State x) { return x < kLowerBound; }
AEC_HD State refill(State x, uint32_t word) { return x << 16 | word; }

// get_bits(k) is get with 2^k equal intervals; 1 <= k <= kScaleBits - 1.
AEC_HD uint32_t peek_bits(State x, int bits) { return slot_of(x) >> (kScaleBits - bits); }
AEC_HD State get_bits(State x, int bits) {
    const uint32_t freq = 1u << (kScaleBits - bits);
    return (x >> kScaleBits << (kScaleBits - bits)) + (x & (freq - 1));
}

// Whether a put of an interval of this width would overflow 32 bits, so that x must give up its low word first. One
// word is enough: afterwards x < 2^16 <= freq * 2^18.
AEC_HD bool full(State x, uint32_t freq) { return x >> (32 - kScaleBits) >= freq; }

// put computes floor(x / freq), for x < freq * 2^18, as x * r >> 46 with r = ceil(2^46 / freq). This is exact:
//   r = (2^46 + e) / freq with 0 <= e < freq, so x * r / 2^46 = x / freq + x * e / (freq * 2^46). Because
//   x * e < freq^2 * 2^18 <= 2^46, the second term is below 1 / freq, too small to reach the next integer.
// And it fits 64 bits: x * r <= (2^18 - 1 / freq) * 2^46 + x < 2^64, because x < 2^32 < 2^46 / freq.
constexpr int kReciprocalBits = 46;
static_assert(kReciprocalBits == 2 * kScaleBits + 18 && kReciprocalBits + 18 == 64, "derivation above");

AEC_HD uint64_t reciprocal_of(uint32_t freq) { return ((1ull << kReciprocalBits) + freq - 1) / freq; }

// Encodes one interval: the inverse of get. The result is at least 2^16: if no word was given up, x >= 2^16 >= 4 *
// freq; if one was, x was at least freq * 2^18 and now is at least 4 * freq. So the quotient is at least 4, and 4 *
// 2^14 = 2^16.
AEC_HD State put(State x, uint32_t start, uint32_t freq, uint64_t reciprocal) {
    const uint32_t quotient = static_cast<uint32_t>(x * reciprocal >> kReciprocalBits);
    return (quotient << kScaleBits) + (x - quotient * freq) + start;
}

AEC_HD State put_bits(State x, uint32_t value, int bits) {
    const uint32_t freq = 1u << (kScaleBits - bits);
    return (x >> (kScaleBits - bits) << kScaleBits) + (value << (kScaleBits - bits)) + (x & (freq - 1));
}

// Words are read and written byte by byte, so that neither alignment nor the host's endianness matters. Compilers merge
// the two accesses into one where the machine allows it.
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

// A symbol between two phases of its decoding. value: the symbol as far as it is known; bits: how many bits the next
// phase reads, 0 if the symbol is complete; step: what the next phase does with these bits. It adds them to the value,
// subtracts them from it, or takes them as the head of an escape. kBroken: the payload holds an escape that FORMAT §5
// does not allow.
enum Step : uint8_t { kAdd, kSubtract, kEscape, kBroken };
struct Partial {
    int16_t value;
    uint8_t bits;
    Step step;
};

// To find the letter whose interval holds a slot, the 2^14 slots are divided into buckets of 2^6. For each bucket the
// tables hold its first letter, and the offset (1..64) at which the next letter begins. Most hold at most two letters,
// so that one comparison gives the answer. In the tails of a distribution a bucket can hold more letters, and the
// search goes on letter by letter. That is rare, because tails are improbable.
constexpr int kBucketBits = 6;
constexpr uint32_t kBucketSize = 1u << kBucketBits;
constexpr int kBuckets = kScale >> kBucketBits;

// The tables of a model, made and checked by tables.h. They hold no pointers, so that they can be copied to a GPU as
// bytes. The members that decoding reads come first and take 48 KB, so that they fit the first-level data cache of a
// core (or nearly), and a block's share of a multiprocessor's shared memory.
//
// Row 0 belongs to index 0, whose symbols are 0 for certain and are not coded. It holds one letter that has all slots,
// so that coding it changes neither state nor stream. Rows of lanes are filled up with it.
struct Tables {
    uint16_t buckets[kIndexCount][kBuckets];         // first letter | offset in the bucket of the next one << 8
    uint32_t intervals[kIndexCount][kMaxAlphabet];   // start | freq << 16
    uint8_t limits[kIndexCount];
    uint8_t raw_bits[kIndexCount];
    uint64_t reciprocals[kIndexCount][kMaxAlphabet];  // reciprocal_of(freq), for put
    uint8_t costs[kIndexCount];                       // expected bits of a symbol under the table, in units of 1/16 bit
};

static_assert(offsetof(Tables, reciprocals) <= 48 * 1024 + 2 * kIndexCount, "see above");

AEC_HD uint32_t start_of(uint32_t interval) { return interval & 0xFFFF; }
AEC_HD uint32_t freq_of(uint32_t interval) { return interval >> 16; }

// ------------------------------------------------------------------------------------------ one symbol, phase by phase

AEC_HD uint32_t letter_of(const Tables& tables, uint32_t index, uint32_t slot) {
    const uint32_t bucket = tables.buckets[index][slot >> kBucketBits];
    uint32_t letter = (bucket & 0xFF) + ((slot & (kBucketSize - 1)) >= bucket >> 8);
    // This ends, because the interval of the last letter ends at kScale and every slot is below that.
    for (uint32_t i; i = tables.intervals[index][letter], slot - start_of(i) >= freq_of(i);) ++letter;
    return letter;
}

// Phase 0 of a symbol: decodes the letter.
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

// The state of a symbol after phase 1 of an escape has read its head, a number of 5 bits. kBroken if FORMAT §5 does not
// allow this head.
AEC_HD Partial after_escape_head(const Tables& tables, uint32_t index, int head) {
    const int n = head >> 1;
    if (n > kMaxEscapeClass) return {0, 0, kBroken};
    const int limit = tables.limits[index], width = 1 << tables.raw_bits[index], first = (1 << n) - 1;
    return {static_cast<int16_t>(head & 1 ? -limit * width - 1 - first : (limit + 1) * width + first),
            static_cast<uint8_t>(n), head & 1 ? kSubtract : kAdd};
}

// Phases 1 and 2 of a symbol: call this while partial.bits > 0, which happens at most twice.
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

// What the encoder puts for one symbol: a letter in phase 0, and value[p - 1], a number of bits[p - 1] bits, in phases
// p = 1 and 2. A phase of 0 bits does not exist.
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
