// The coder in plain C++. The number of lanes is a template argument, so that the compiler unrolls the loops over lanes
// and keeps the states of narrow streams in registers. Words are moved without a branch, because a branch predictor
// cannot guess whether a lane takes one.
#include "rans/coder_stream.h"

namespace aec {
namespace {

int lowest_bit(uint32_t mask) { return __builtin_ctz(mask); }
int highest_bit(uint32_t mask) { return 31 - __builtin_clz(mask); }

// Always writes the low word of the state below `head`, and moves `head` only if the state is full.
inline void give_word(State& x, uint32_t freq, uint8_t*& head) {
    store_word(head - 2, x);
    const bool gives = full(x, freq);
    head -= 2 * gives;
    x = gives ? x >> 16 : x;
}

template <int kWidth>
[[gnu::always_inline]] inline uint8_t* encode_row(const Tables& tables, State* states, uint8_t* head,
                                                  const uint8_t* indexes, const int16_t* symbols, int width) {
    Parts parts[kWidth];
    uint32_t open[2] = {0, 0};  // bit masks of the lanes whose symbols have a phase 1, and a phase 2
    for (int lane = 0; lane < width; ++lane) {
        parts[lane] = split(tables, indexes[lane], symbols[lane]);
        for (int i = 0; i < 2; ++i) open[i] |= static_cast<uint32_t>(parts[lane].bits[i] > 0) << lane;
    }
    for (int i = 1; i >= 0; --i) {
        for (uint32_t mask = open[i]; mask != 0;) {
            const int lane = highest_bit(mask), bits = parts[lane].bits[i];
            mask ^= 1u << lane;
            give_word(states[lane], 1u << (kScaleBits - bits), head);
            states[lane] = put_bits(states[lane], parts[lane].value[i], bits);
        }
    }
    for (int lane = width - 1; lane >= 0; --lane) {
        const uint32_t interval = tables.intervals[indexes[lane]][parts[lane].letter];
        give_word(states[lane], freq_of(interval), head);
        states[lane] = put(states[lane], start_of(interval), freq_of(interval),
                           tables.reciprocals[indexes[lane]][parts[lane].letter]);
    }
    return head;
}

template <int kWidth>
uint8_t* encode(const Tables& tables, const Share& share, State* home, uint8_t* head, const int16_t* symbols) {
    State states[kWidth];
    for (int lane = 0; lane < kWidth; ++lane) states[lane] = home[lane];
    for (uint64_t row = row_count(share.n, share.lanes_log2); row-- > 0;) {
        const uint64_t first = first_of_row(row, share.stream, share.lanes_log2);
        if (first >= share.n) continue;
        if (share.n - first >= kWidth)
            head = encode_row<kWidth>(tables, states, head, share.indexes + first, symbols + first, kWidth);
        else
            head = encode_row<kWidth>(tables, states, head, share.indexes + first, symbols + first,
                                      static_cast<int>(share.n - first));
    }
    for (int lane = 0; lane < kWidth; ++lane) home[lane] = states[lane];
    return head;
}

// Always reads the next word, and moves on to the one after it only if the state takes it.
inline void take_word(State& x, const uint8_t*& words) {
    const uint32_t word = load_word(words);
    const bool wants = wants_word(x);
    words += 2 * wants;
    x = wants ? refill(x, word) : x;
}

template <int kWidth>
[[gnu::always_inline]] inline const uint8_t* decode_row(const Tables& tables, State* states, const uint8_t* words,
                                                        const uint8_t* indexes, int16_t* symbols, int width,
                                                        bool& broken) {
    Partial partials[kWidth];
    uint32_t open = 0;  // bit mask of the lanes whose symbols are not complete
    for (int lane = 0; lane < width; ++lane) {
        State x = decode_letter(states[lane], tables, indexes[lane], partials[lane]);
        take_word(x, words);
        states[lane] = x;
        symbols[lane] = partials[lane].value;
        open |= static_cast<uint32_t>(partials[lane].bits > 0) << lane;
    }
    while (open != 0) {
        uint32_t still_open = 0;
        for (uint32_t mask = open; mask != 0; mask &= mask - 1) {
            const int lane = lowest_bit(mask);
            Partial& partial = partials[lane];
            states[lane] = decode_more(states[lane], tables, indexes[lane], partial);
            take_word(states[lane], words);
            symbols[lane] = partial.value;
            still_open |= static_cast<uint32_t>(partial.bits > 0) << lane;
            broken |= partial.step == kBroken;
        }
        open = still_open;
    }
    return words;
}

template <int kWidth>
Status decode(const Tables& tables, const Share& share, State* home, const uint8_t*& words_at, const uint8_t* end,
              int16_t* symbols) {
    State states[kWidth];
    for (int lane = 0; lane < kWidth; ++lane) states[lane] = home[lane];
    const uint8_t* words = words_at;
    Status status = Status::kOk;
    const uint64_t step = lane_count(share.lanes_log2);
    for (uint64_t first = first_of_row(0, share.stream, share.lanes_log2); first < share.n; first += step) {
        bool broken = false;
        if (share.n - first >= kWidth)
            words = decode_row<kWidth>(tables, states, words, share.indexes + first, symbols + first, kWidth, broken);
        else
            words = decode_row<kWidth>(tables, states, words, share.indexes + first, symbols + first,
                                       static_cast<int>(share.n - first), broken);
        if (words > end || broken) {
            status = words > end ? Status::kPastEnd : Status::kEscapeClass;
            break;
        }
    }
    for (int lane = 0; lane < kWidth; ++lane) home[lane] = states[lane];
    words_at = words;
    return status;
}

}  // namespace

StreamDecoder scalar_decoder(uint32_t width) {
    switch (width) {
        case 1: return &decode<1>;
        case 2: return &decode<2>;
        case 4: return &decode<4>;
        case 8: return &decode<8>;
        case 16: return &decode<16>;
        default: return &decode<32>;
    }
}

StreamEncoder scalar_encoder(uint32_t width) {
    switch (width) {
        case 1: return &encode<1>;
        case 2: return &encode<2>;
        case 4: return &encode<4>;
        case 8: return &encode<8>;
        case 16: return &encode<16>;
        default: return &encode<32>;
    }
}

}  // namespace aec
