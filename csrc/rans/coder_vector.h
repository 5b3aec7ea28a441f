// The coder of coder_scalar.cpp in SIMD. It is written once, as a template over a type V that defines the operations of
// an instruction set (coder_avx512.cpp shows the shortest). A vector holds the 32-bit states of V::kLanes lanes, and a
// stream of kWidth lanes has kWidth / V::kLanes vectors.
//
// READ ME FIRST
//  1. A row with fewer symbols than lanes is filled up with symbols of index 0. Coding such a symbol changes neither
//     the state nor the stream (rans.h, Tables).
//  2. Phase 1 runs on all lanes of a row or on none of them. In a lane without a phase 1 it reads or writes 0 bits,
//     which changes nothing either.
//  3. Phase 2, the magnitude of an escape, is rare. It runs lane by lane, with the functions of rans.h.
//  4. Words are taken and given in lane order (FORMAT §6), so the vectors of a row do so one after the other.
#pragma once

#include "rans/coder_stream.h"

namespace aec {
namespace {

template <class V, int kWidth>
struct VectorCoder {
    using Vec = typename V::Vec;
    using Mask = typename V::Mask;
    static constexpr int kVectors = kWidth / V::kLanes;

    static Vec intervals_at(const Tables& tables, Vec index, Vec letter) {
        static_assert(kMaxAlphabet == 64, "a shift by 6");
        return V::gather4(tables.intervals, V::add(V::template shl<6>(index), letter));
    }

    static Vec ones(Vec bits) { return V::sub(V::shlv(V::set(1), bits), V::set(1)); }  // 2^bits - 1

    // The same as letter_of in rans.h, and sets `interval` to the letter's interval.
    static Vec letters_of(const Tables& tables, Vec index, Vec slot, Vec& interval) {
        const Vec bucket = V::gather2(tables.buckets, V::add(V::template shl<kScaleBits - kBucketBits>(index),
                                                             V::template shr<kBucketBits>(slot)));
        const Vec boundary = V::template shr<8>(bucket);
        Vec letter = V::and_(bucket, V::set(0xFF));
        letter = V::increment(letter, V::at_least(V::and_(slot, V::set(kBucketSize - 1)), boundary));
        interval = intervals_at(tables, index, letter);
        for (;;) {
            const Mask beyond =
                V::at_least(V::sub(slot, V::and_(interval, V::set(0xFFFF))), V::template shr<16>(interval));
            if (!V::any(beyond))
                return letter;
            letter = V::increment(letter, beyond);
            interval = intervals_at(tables, index, letter);
        }
    }

    static const uint8_t* decode_row(const Tables& tables, Vec* states, const uint8_t* words, const uint8_t* indexes,
                                     int16_t* symbols, bool& broken) {
        Vec value[kVectors], bits[kVectors];
        Vec open = V::set(0);
        uint32_t escapes = 0;
        for (int i = 0; i < kVectors; ++i) {
            const Vec index = V::load_u8(indexes + i * V::kLanes);
            const Vec x = states[i], slot = V::and_(x, V::set(kScale - 1));
            Vec interval;
            const Vec letter = letters_of(tables, index, slot, interval);
            const Vec limit = V::lookup(tables.limits, index), raw_bits = V::lookup(tables.raw_bits, index);
            const Mask is_escape = V::at_least(letter, V::add(V::add(limit, limit), V::set(1)));
            bits[i] = V::select(is_escape, V::set(kEscapeHeadBits), raw_bits);
            value[i] = V::select(is_escape, V::set(0), V::shlv(V::sub(letter, limit), raw_bits));
            open = V::or_(open, bits[i]);
            escapes |= V::bits(is_escape) << (i * V::kLanes);
            // The same as get() in rans.h.
            const Vec rest = V::sub(slot, V::and_(interval, V::set(0xFFFF)));
            states[i] = V::add(V::mul(V::template shr<16>(interval), V::template shr<kScaleBits>(x)), rest);
            states[i] = V::take_words(states[i], V::below_2_16(states[i]), words);
        }
        if (V::any(V::at_least(open, V::set(1)))) {
            for (int i = 0; i < kVectors; ++i) {
                // The same as get_bits() in rans.h. For an escape, these bits are its head, and are kept in its value.
                const Vec x = states[i], rest_bits = V::sub(V::set(kScaleBits), bits[i]);
                value[i] = V::add(value[i], V::shrv(V::and_(x, V::set(kScale - 1)), rest_bits));
                states[i] = V::add(V::shlv(V::template shr<kScaleBits>(x), rest_bits), V::and_(x, ones(rest_bits)));
                states[i] = V::take_words(states[i], V::below_2_16(states[i]), words);
            }
        }
        for (int i = 0; i < kVectors; ++i)
            V::store_i16(symbols + i * V::kLanes, value[i]);
        if (escapes != 0)
            words = decode_escapes(tables, states, words, indexes, symbols, escapes, broken);
        return words;
    }

    [[gnu::noinline]] static const uint8_t* decode_escapes(const Tables& tables, Vec* states, const uint8_t* words,
                                                           const uint8_t* indexes, int16_t* symbols, uint32_t escapes,
                                                           bool& broken) {
        State lanes[kWidth];
        for (int i = 0; i < kVectors; ++i)
            V::store(lanes + i * V::kLanes, states[i]);
        for (; escapes != 0; escapes &= escapes - 1) {
            const int lane = __builtin_ctz(escapes);
            Partial partial = after_escape_head(tables, indexes[lane], symbols[lane]);
            broken |= partial.step == kBroken;
            if (partial.bits > 0) {
                lanes[lane] = decode_more(lanes[lane], tables, indexes[lane], partial);
                if (wants_word(lanes[lane])) {
                    lanes[lane] = refill(lanes[lane], load_word(words));
                    words += 2;
                }
            }
            symbols[lane] = partial.value;
        }
        for (int i = 0; i < kVectors; ++i)
            states[i] = V::load(lanes + i * V::kLanes);
        return words;
    }

    static Status decode(const Tables& tables, const Share& share, State* home, const uint8_t*& words_at,
                         const uint8_t* end, int16_t* symbols) {
        Vec states[kVectors];
        for (int i = 0; i < kVectors; ++i)
            states[i] = V::load(home + i * V::kLanes);
        const uint8_t* words = words_at;
        bool broken = false;
        const uint64_t step = lane_count(share.lanes_log2);
        for (uint64_t first = first_of_row(0, share.stream, share.lanes_log2); first < share.n; first += step) {
            if (share.n - first >= kWidth) {
                words = decode_row(tables, states, words, share.indexes + first, symbols + first, broken);
            } else {
                const int width = static_cast<int>(share.n - first);
                uint8_t indexes[kWidth] = {};
                int16_t values[kWidth];
                for (int lane = 0; lane < width; ++lane)
                    indexes[lane] = share.indexes[first + lane];
                words = decode_row(tables, states, words, indexes, values, broken);
                for (int lane = 0; lane < width; ++lane)
                    symbols[first + lane] = values[lane];
            }
            if (words > end) {
                words_at = words;
                return Status::kPastEnd;
            }
            if (broken)
                return Status::kEscapeClass;
        }
        for (int i = 0; i < kVectors; ++i)
            V::store(home + i * V::kLanes, states[i]);
        words_at = words;
        return Status::kOk;
    }

    // The same as give_word in coder_scalar.cpp. The interval of a lane has width `freq`.
    static Vec give_words(Vec x, Vec freq, uint8_t*& head) {
        return V::give_words(x, V::at_least(V::template shr<32 - kScaleBits>(x), freq), head);
    }

    static uint8_t* encode_row(const Tables& tables, Vec* states, uint8_t* head, const uint8_t* indexes,
                               const int16_t* symbols) {
        Vec interval[kVectors], bits[kVectors], low[kVectors];
        Vec open = V::set(0);
        uint32_t escapes = 0;
        for (int i = 0; i < kVectors; ++i) {
            const Vec index = V::load_u8(indexes + i * V::kLanes), symbol = V::load_i16(symbols + i * V::kLanes);
            const Vec limit = V::lookup(tables.limits, index), raw_bits = V::lookup(tables.raw_bits, index);
            const Vec escape = V::add(V::add(limit, limit), V::set(1));
            Vec letter = V::add(V::sarv(symbol, raw_bits), limit);
            // A symbol escapes if its letter would be below 0 or above 2 * limit. The comparisons are signed.
            const Mask is_escape = V::or_masks(V::at_least(letter, escape), V::at_least(V::set(-1), letter));
            letter = V::select(is_escape, escape, letter);
            interval[i] = intervals_at(tables, index, letter);
            bits[i] = V::select(is_escape, V::set(kEscapeHeadBits), raw_bits);
            low[i] = V::and_(symbol, ones(raw_bits));
            open = V::or_(open, bits[i]);
            escapes |= V::bits(is_escape) << (i * V::kLanes);
        }
        if (escapes != 0)
            head = encode_escapes(tables, states, head, indexes, symbols, escapes, low);
        if (V::any(V::at_least(open, V::set(1)))) {
            for (int i = kVectors - 1; i >= 0; --i) {
                const Vec rest_bits = V::sub(V::set(kScaleBits), bits[i]);
                const Vec x = give_words(states[i], V::shlv(V::set(1), rest_bits), head);
                // The same as put_bits() in rans.h.
                states[i] = V::add(V::template shl<kScaleBits>(V::shrv(x, rest_bits)),
                                   V::add(V::shlv(low[i], rest_bits), V::and_(x, ones(rest_bits))));
            }
        }
        for (int i = kVectors - 1; i >= 0; --i) {
            const Vec start = V::and_(interval[i], V::set(0xFFFF)), freq = V::template shr<16>(interval[i]);
            const Vec x = give_words(states[i], freq, head);
            const Vec quotient = divide(x, freq);
            // The same as put() in rans.h.
            states[i] = V::add(V::template shl<kScaleBits>(quotient), V::add(V::sub(x, V::mul(quotient, freq)), start));
        }
        return head;
    }

    // floor(x / freq), for x < freq * 2^18, by a division in float32. The quotient is below 2^18, and x and the result
    // are each rounded to 24 bits, so the float is less than 2^-4 off. Its integer part is therefore right or off by
    // one, and the sign and size of the remainder tell which.
    static Vec divide(Vec x, Vec freq) {
        const Vec quotient = V::divide_roughly(x, freq), rest = V::sub(x, V::mul(quotient, freq));
        return V::increment(V::decrement(quotient, V::at_least(V::set(-1), rest)), V::at_least(rest, freq));
    }

    // Encodes phase 2 of the lanes whose symbols escape, and stores the heads of these escapes in `low` for phase 1.
    // escapes: a bit mask of the lanes.
    [[gnu::noinline]] static uint8_t* encode_escapes(const Tables& tables, Vec* states, uint8_t* head,
                                                     const uint8_t* indexes, const int16_t* symbols, uint32_t escapes,
                                                     Vec* low) {
        State lanes[kWidth];
        uint32_t values[kWidth];
        for (int i = 0; i < kVectors; ++i) {
            V::store(lanes + i * V::kLanes, states[i]);
            V::store(values + i * V::kLanes, low[i]);
        }
        while (escapes != 0) {
            const int lane = 31 - __builtin_clz(escapes);
            escapes ^= 1u << lane;
            const Parts parts = split(tables, indexes[lane], symbols[lane]);
            values[lane] = parts.value[0];
            if (parts.bits[1] == 0)
                continue;
            if (full(lanes[lane], 1u << (kScaleBits - parts.bits[1]))) {
                head -= 2;
                store_word(head, lanes[lane]);
                lanes[lane] >>= 16;
            }
            lanes[lane] = put_bits(lanes[lane], parts.value[1], parts.bits[1]);
        }
        for (int i = 0; i < kVectors; ++i) {
            states[i] = V::load(lanes + i * V::kLanes);
            low[i] = V::load(values + i * V::kLanes);
        }
        return head;
    }

    static uint8_t* encode(const Tables& tables, const Share& share, State* home, uint8_t* head,
                           const int16_t* symbols) {
        Vec states[kVectors];
        for (int i = 0; i < kVectors; ++i)
            states[i] = V::load(home + i * V::kLanes);
        for (uint64_t row = row_count(share.n, share.lanes_log2); row-- > 0;) {
            const uint64_t first = first_of_row(row, share.stream, share.lanes_log2);
            if (first >= share.n)
                continue;
            if (share.n - first >= kWidth) {
                head = encode_row(tables, states, head, share.indexes + first, symbols + first);
            } else {
                uint8_t indexes[kWidth] = {};
                int16_t values[kWidth] = {};
                for (uint64_t lane = 0; lane < share.n - first; ++lane) {
                    indexes[lane] = share.indexes[first + lane];
                    values[lane] = symbols[first + lane];
                }
                head = encode_row(tables, states, head, indexes, values);
            }
        }
        for (int i = 0; i < kVectors; ++i)
            V::store(home + i * V::kLanes, states[i]);
        return head;
    }
};

// The coders for streams of `width` lanes, or null if there is none. For8, For16, For32: the vector types to use for
// each width.
template <class For8, class For16, class For32>
StreamDecoder vector_decoder(uint32_t width) {
    switch (width) {
        case 8: return &VectorCoder<For8, 8>::decode;
        case 16: return &VectorCoder<For16, 16>::decode;
        case 32: return &VectorCoder<For32, 32>::decode;
        default: return nullptr;
    }
}

template <class For8, class For16, class For32>
StreamEncoder vector_encoder(uint32_t width) {
    switch (width) {
        case 8: return &VectorCoder<For8, 8>::encode;
        case 16: return &VectorCoder<For16, 16>::encode;
        case 32: return &VectorCoder<For32, 32>::encode;
        default: return nullptr;
    }
}

}  // namespace
}  // namespace aec
