// Rows are the unit: up to 32 lanes, a compile-time width, so that the compiler unrolls and the states of small tiles
// stay in registers. Words are moved without a branch (whether a lane wants one is a coin toss to the predictor), and
// bounds are checked once a row: the buffers have room for one row more than their contents.
#include "coder_cpu.h"

#include <algorithm>
#include <type_traits>
#include <utility>

namespace aec {
namespace {

int lowest_bit(uint32_t mask) { return __builtin_ctz(mask); }
int highest_bit(uint32_t mask) { return 31 - __builtin_clz(mask); }

// Symbols whose index is not 0; the others take no part (FORMAT §6).
struct Compact {
    std::unique_ptr<uint8_t[]> indexes;
    std::unique_ptr<int16_t[]> symbols;
    explicit Compact(size_t n) : indexes(new uint8_t[n]), symbols(new int16_t[n]) {}
};

// Calls run(integral_constant<width>) for the compile-time twin of a width 1, 2, 4 .. 32.
template <int kWidth = 1, class Run>
auto with_width(int width, Run run) {
    if constexpr (kWidth < 32)
        if (width != kWidth) return with_width<kWidth * 2>(width, run);
    return run(std::integral_constant<int, kWidth>());
}

// -------------------------------------------------------------------------------------------------------------- encode

Fault check_symbol(int symbol, int index, size_t position) {
    if (index >= kIndexCount) return {Status::kIndex, position, index};
    if (symbol > kMaxSymbol || symbol < -kMaxSymbol) return {Status::kSymbol, position, symbol};
    if (index == 0 && symbol != 0) return {Status::kNotZero, position, symbol};
    return {};
}

// Writes the low word below `head` in any case, and keeps it if the state is full.
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
    uint32_t open[2] = {0, 0};  // lanes that have phase 1, phase 2
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

// One stream, last symbol first, below `head`. Returns its first byte.
template <int kWidth>
uint8_t* encode_stream(const Tables& tables, const Compact& in, const std::vector<uint64_t>& segments, uint64_t total,
                       uint32_t stream, int lanes_log2, uint8_t* head) {
    State states[kWidth];
    std::fill_n(states, kWidth, init());
    for (size_t s = segments.size(); s-- > 0;) {
        const uint64_t n = segments[s];
        total -= n;
        for (uint64_t row = row_count(n, lanes_log2); row-- > 0;) {
            const uint64_t first = first_of_row(row, stream, lanes_log2);
            if (first >= n) continue;
            const uint8_t* indexes = in.indexes.get() + total + first;
            const int16_t* symbols = in.symbols.get() + total + first;
            if (n - first >= kWidth)
                head = encode_row<kWidth>(tables, states, head, indexes, symbols, kWidth);
            else
                head = encode_row<kWidth>(tables, states, head, indexes, symbols, static_cast<int>(n - first));
        }
    }
    head -= kStateBytes * kWidth;
    for (int lane = 0; lane < kWidth; ++lane) flush(head + kStateBytes * lane, states[lane]);
    return head;
}

// -------------------------------------------------------------------------------------------------------------- decode

// Reads a word in any case, and steps over it if the state wants it.
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
    uint32_t open = 0;  // lanes whose symbol is not complete
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
Fault decode_stream(const Tables& tables, const uint8_t* payload, Lanes& lanes, uint32_t stream,
                    const uint8_t* indexes, size_t n, int16_t* symbols) {
    State states[kWidth];
    State* const home = lanes.states.data() + stream * kWidth;
    std::copy_n(home, kWidth, states);
    const uint8_t* words = payload + lanes.next[stream];
    const uint8_t* const end = payload + lanes.end[stream];
    bool broken = false;
    for (uint64_t row = 0;; ++row) {
        const uint64_t first = first_of_row(row, stream, lanes.lanes_log2);
        if (first >= n) break;
        if (n - first >= kWidth)
            words = decode_row<kWidth>(tables, states, words, indexes + first, symbols + first, kWidth, broken);
        else
            words = decode_row<kWidth>(tables, states, words, indexes + first, symbols + first,
                                       static_cast<int>(n - first), broken);
        if (words > end) return {Status::kPastEnd, stream, words - end};
        if (broken) return {Status::kEscapeClass, stream, kMaxEscapeClass + 1};
    }
    std::copy_n(states, kWidth, home);
    lanes.next[stream] = words - payload;
    return {};
}

}  // namespace

Fault encode_cpu(const Tables& tables, const int16_t* symbols, const uint8_t* indexes,
                 const std::vector<uint64_t>& segments, int lanes_log2, [[maybe_unused]] int threads, Payload& payload) {
    uint64_t n = 0;
    for (const uint64_t length : segments) n += length;

    Compact in(n + 1);  // one more: the loop below writes before it knows whether to keep
    std::vector<uint64_t> coded(segments.size());
    uint64_t n_coded = 0, position = 0;
    for (size_t s = 0; s < segments.size(); ++s) {
        const uint64_t before = n_coded;
        for (const uint64_t end = position + segments[s]; position < end; ++position) {
            const int symbol = symbols[position], index = indexes[position];
            if (const Fault fault = check_symbol(symbol, index, position)) return fault;
            in.symbols[n_coded] = static_cast<int16_t>(symbol);
            in.indexes[n_coded] = static_cast<uint8_t>(index);
            n_coded += index != 0;
        }
        coded[s] = n_coded - before;
    }

    if (lanes_log2 == kAutoLanes) {
        uint64_t cost = 0;
        for (uint64_t j = 0; j < n_coded; ++j)
            cost += cost_of(tables, in.indexes[j], split(tables, in.indexes[j], in.symbols[j]));
        lanes_log2 = choose_lanes_log2(cost / (16 * 8));
    }

    // Backwards throughout: the last stream first, the header last. 2 bytes more: give_word writes before it knows.
    const uint64_t capacity = 2 + max_payload_bytes(n_coded, lanes_log2);
    payload.buffer.reset(new uint8_t[capacity]);
    uint8_t* const end = payload.buffer.get() + capacity;
    uint8_t* head = end;
    const uint32_t n_streams = stream_count(lanes_log2);
    std::vector<uint32_t> lengths(n_streams);
    for (uint32_t stream = n_streams; stream-- > 0;) {
        uint8_t* const stream_end = head;
        head = with_width(stream_width(lanes_log2), [&](auto width) {
            return encode_stream<width>(tables, in, coded, n_coded, stream, lanes_log2, head);
        });
        if (static_cast<uint64_t>(end - head) > kMaxPayloadBytes) return {Status::kTooLong, stream, end - head};
        lengths[stream] = static_cast<uint32_t>(stream_end - head);
    }
    for (uint32_t stream = n_streams - 1; stream-- > 0;) {
        head -= varint_bytes(lengths[stream]);
        write_varint(head, lengths[stream]);
    }
    *--head = static_cast<uint8_t>(lanes_log2);
    payload.data = head;
    payload.size = end - head;
    return {};
}

Fault open_payload(const uint8_t* payload, size_t size, Lanes& lanes) {
    if (size > kMaxPayloadBytes) return {Status::kTooLong, 0, static_cast<int64_t>(size)};
    if (size == 0) return {Status::kLanes, 0, -1};
    if (payload[0] > kMaxLanesLog2) return {Status::kLanes, 0, payload[0]};
    lanes.lanes_log2 = payload[0];
    const uint32_t n_streams = stream_count(lanes.lanes_log2), width = stream_width(lanes.lanes_log2);

    const uint8_t* p = payload + 1;
    std::vector<uint32_t> lengths(n_streams);
    for (uint32_t stream = 0; stream + 1 < n_streams; ++stream) {
        p = read_varint(p, payload + size, lengths[stream]);
        if (p == nullptr) return {Status::kVarint, stream, 0};
    }
    uint64_t offset = p - payload;
    for (uint32_t stream = 0; stream < n_streams; ++stream) {
        const uint64_t left = size - offset;
        const uint64_t length = stream + 1 < n_streams ? lengths[stream] : left;
        if (length > left || length % 2 != 0 || length < kStateBytes * width)
            return {Status::kStreamLength, stream, static_cast<int64_t>(length)};
        for (uint32_t lane = 0; lane < width; ++lane) {
            const State x = load_state(payload + offset + kStateBytes * lane);
            if (x < kLowerBound) return {Status::kState, stream, x};
            lanes.states.push_back(x);
        }
        lanes.next.push_back(offset + kStateBytes * width);
        lanes.end.push_back(offset + length);
        offset += length;
    }
    return {};
}

Fault check_finished(const Lanes& lanes) {
    const uint32_t width = stream_width(lanes.lanes_log2);
    for (uint32_t stream = 0; stream < lanes.next.size(); ++stream) {
        for (uint32_t lane = 0; lane < width; ++lane)
            if (const State x = lanes.states[stream * width + lane]; x != init()) return {Status::kEndState, stream, x};
        if (const uint64_t left = lanes.end[stream] - lanes.next[stream]; left != 0)
            return {Status::kEndWords, stream, static_cast<int64_t>(left)};
    }
    return {};
}

Decoder::Decoder(std::shared_ptr<const Tables> tables, const uint8_t* payload, size_t size)
    : tables_(std::move(tables)), fault_(open_payload(payload, size, lanes_)) {
    if (fault_) return;
    payload_.reserve(size + max_row_bytes(kMaxLanesLog2));
    payload_.assign(payload, payload + size);
    payload_.resize(size + max_row_bytes(kMaxLanesLog2));
}

Fault Decoder::decode(const uint8_t* indexes, size_t n, [[maybe_unused]] int threads, int16_t* symbols) {
    if (fault_) return fault_;
    Compact out(n + 1);  // one more, as in encode_cpu
    size_t n_coded = 0;
    for (size_t position = 0; position < n; ++position) {
        const uint8_t index = indexes[position];
        if (index >= kIndexCount) return {Status::kIndex, position, index};
        out.indexes[n_coded] = index;
        n_coded += index != 0;
    }
    for (uint32_t stream = 0; stream < lanes_.next.size() && !fault_; ++stream)
        fault_ = with_width(stream_width(lanes_.lanes_log2), [&](auto width) {
            return decode_stream<width>(*tables_, payload_.data(), lanes_, stream, out.indexes.get(), n_coded,
                                        out.symbols.get());
        });
    if (fault_) return fault_;
    out.symbols[n_coded] = 0;  // the loop below reads before it knows
    for (size_t position = 0, j = 0; position < n; ++position) {
        const bool is_coded = indexes[position] != 0;
        symbols[position] = is_coded ? out.symbols[j] : int16_t{0};
        j += is_coded;
    }
    return {};
}

Fault Decoder::finish() const { return fault_ ? fault_ : check_finished(lanes_); }

}  // namespace aec
