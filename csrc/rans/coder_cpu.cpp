// Coding a tile: the symbols whose index is not 0 are gathered (Compact), streams are shared out to threads, and each
// stream is coded by the code for the current instruction set. Bounds are checked only once for each row, so buffers
// have room for one row more than they hold.
#include "rans/coder_cpu.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/isa.h"
#include "base/parallel.h"
#include "rans/coder_stream.h"
#include "rans/compact.h"

namespace aec {
namespace {

StreamDecoder stream_decoder(uint32_t width) {
    if (width >= 8) {
        switch (current_isa()) {
#if defined(__x86_64__)
            case Isa::kAvx512: return avx512_decoder(width);
            case Isa::kAvx2: return avx2_decoder(width);
#elif defined(__aarch64__)
            case Isa::kNeon: return neon_decoder(width);
#endif
            default: break;
        }
    }
    return scalar_decoder(width);
}

StreamEncoder stream_encoder(uint32_t width) {
    if (width >= 8) {
        switch (current_isa()) {
#if defined(__x86_64__)
            case Isa::kAvx512: return avx512_encoder(width);
            case Isa::kAvx2: return avx2_encoder(width);
#elif defined(__aarch64__)
            case Isa::kNeon: return neon_encoder(width);
#endif
            default: break;
        }
    }
    return scalar_encoder(width);
}

struct Range {
    uint32_t first, last;
};
Range streams_of(int part, int n_parts, uint32_t n_streams) {
    return {n_streams * part / n_parts, n_streams * (part + 1) / n_parts};
}

// Encodes the streams of a range, beginning with the last symbol of the last stream, and writes downwards from `head`.
// Sets the byte lengths of these streams, and of their pieces. Returns their first byte.
uint8_t* encode_streams(const Tables& tables, StreamEncoder encode, const Compact& in, int lanes_log2, Range range,
                        uint8_t* head, uint32_t* lengths, Vector<uint64_t>* piece_bytes) {
    const uint32_t width = stream_width(lanes_log2);
    for (uint32_t stream = range.last; stream-- > range.first;) {
        uint8_t* const stream_end = head;
        State states[1 << kStreamLanesLog2];
        std::fill_n(states, width, init());
        uint64_t offset = in.n;
        piece_bytes[stream].assign(std::max<size_t>(1, in.segments.size()), 0);
        for (size_t s = in.segments.size(); s-- > 0;) {
            offset -= in.segments[s];
            const Share share = {lanes_log2, stream, in.segments[s], in.indexes.get() + offset};
            const uint8_t* const piece_end = head;
            head = encode(tables, share, states, head, in.symbols.get() + offset);
            piece_bytes[stream][s] = piece_end - head;
        }
        head -= kStateBytes * width;
        piece_bytes[stream][0] += kStateBytes * width;
        for (uint32_t lane = 0; lane < width; ++lane) flush(head + kStateBytes * lane, states[lane]);
        lengths[stream] = static_cast<uint32_t>(std::min<uint64_t>(stream_end - head, UINT32_MAX));
    }
    return head;
}

}  // namespace

Fault encode_cpu(const Tables& tables, const int16_t* symbols, const uint8_t* indexes,
                 const Vector<uint64_t>& segments, int lanes_log2, int threads, Payload& payload) {
    Compact in;
    if (const Fault fault = in.take(symbols, indexes, segments, threads)) return fault;
    if (lanes_log2 == kAutoLanes) lanes_log2 = choose_lanes_log2(in.cost(tables) / (16 * 8));

    const uint32_t n_streams = stream_count(lanes_log2);
    const int n_parts = std::min<int>(threads_for(in.n, threads), n_streams);
    // Each thread's streams get a region of the buffer, which is filled from its end. kReach is for vector stores,
    // which write whole vectors and then move the head by the words that count.
    struct Region {
        uint8_t *head, *end;
    };
    Vector<Region> regions(n_parts);
    Vector<uint32_t> lengths(n_streams);
    payload.piece_bytes.resize(n_streams);
    uint64_t capacity = max_header_bytes(lanes_log2), n_rows = 0;
    for (const uint64_t length : in.segments) n_rows += row_count(length, lanes_log2);
    const auto region_bytes = [&](int part) {
        const Range range = streams_of(part, n_parts, n_streams);
        return kReach + (range.last - range.first) * max_stream_bytes(n_rows, lanes_log2);
    };
    for (int part = 0; part < n_parts; ++part) capacity += region_bytes(part);
    payload.buffer = Buffer<uint8_t>(capacity);
    uint8_t* p = payload.buffer.get() + max_header_bytes(lanes_log2);
    for (int part = 0; part < n_parts; ++part) regions[part].end = p += region_bytes(part);
    const StreamEncoder encode = stream_encoder(stream_width(lanes_log2));
    parallel_for(n_parts, n_parts, [&](int64_t part) {
        Region& region = regions[part];
        region.head = encode_streams(tables, encode, in, lanes_log2, streams_of(part, n_parts, n_streams), region.end,
                                     lengths.data(), payload.piece_bytes.data());
    });

    // Move the regions together towards the end of the buffer, and write the header before them.
    uint8_t* const end = regions.back().end;
    uint8_t* head = regions.back().head;
    for (int part = n_parts - 1; part-- > 0;) {
        const size_t bytes = regions[part].end - regions[part].head;
        head -= bytes;
        std::memmove(head, regions[part].head, bytes);
    }
    for (uint32_t stream = n_streams - 1; stream-- > 0;) {
        head -= varint_bytes(lengths[stream]);
        write_varint(head, lengths[stream]);
    }
    *--head = static_cast<uint8_t>(lanes_log2);
    if (static_cast<uint64_t>(end - head) > kMaxPayloadBytes) return {Status::kTooLong, 0, end - head};
    payload.data = head;
    payload.size = end - head;
    return {};
}

Fault open_payload(const uint8_t* payload, size_t size, Lanes& lanes, bool is_prefix) {
    if (size > kMaxPayloadBytes) return {Status::kTooLong, 0, static_cast<int64_t>(size)};
    if (size == 0) return {Status::kLanes, 0, -1};
    if (payload[0] > kMaxLanesLog2) return {Status::kLanes, 0, payload[0]};
    lanes.lanes_log2 = payload[0];
    const uint32_t n_streams = stream_count(lanes.lanes_log2), width = stream_width(lanes.lanes_log2);

    const uint8_t* p = payload + 1;
    Vector<uint32_t> lengths(n_streams);
    for (uint32_t stream = 0; stream + 1 < n_streams; ++stream) {
        p = read_varint(p, payload + size, lengths[stream]);
        if (p == nullptr) return {Status::kVarint, stream, 0};
    }
    uint64_t offset = p - payload;
    for (uint32_t stream = 0; stream < n_streams; ++stream) {
        const uint64_t left = size - offset;
        uint64_t length = stream + 1 < n_streams ? lengths[stream] : left;
        if (is_prefix) length = std::min(length, left) / 2 * 2;
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

Decoder::Decoder(std::shared_ptr<const Tables> tables, const uint8_t* payload, size_t size, bool is_prefix)
    : tables_(std::move(tables)), is_prefix_(is_prefix), fault_(open_payload(payload, size, lanes_, is_prefix)) {
    if (fault_) return;
    ended_.assign(lanes_.next.size(), 0);
    const size_t margin = max_row_bytes(kMaxLanesLog2) + kReach;
    payload_.reserve(size + margin);
    payload_.assign(payload, payload + size);
    payload_.resize(size + margin);
}

// Decodes rows until one needs words that the stream does not have. The symbols of that row and of all after it are 0,
// which `symbols` must hold already. Returns whether the stream went on to the last row.
bool Decoder::decode_prefix(Share share, State* states, const uint8_t*& words, const uint8_t* end,
                            int16_t* symbols) const {
    const uint32_t width = stream_width(share.lanes_log2);
    const StreamDecoder decode = scalar_decoder(width);
    const uint64_t row = lane_count(share.lanes_log2), n = share.n;
    for (uint64_t first = 0; first < n; first += row, share.indexes += row) {
        share.n = std::min(row, n - first);
        if (decode(*tables_, share, states, words, end, symbols + first) == Status::kOk) continue;
        const uint64_t begin = first_of_row(0, share.stream, share.lanes_log2);
        std::fill_n(symbols + first + begin, std::min<uint64_t>(width, share.n - begin), int16_t{0});
        return false;
    }
    return true;
}

Fault Decoder::decode(const uint8_t* indexes, size_t n, int threads, int16_t* symbols) {
    if (fault_) return fault_;
    Compact out;
    if (const Fault fault = out.take(nullptr, indexes, {n}, threads)) return fault;
    const uint32_t n_streams = static_cast<uint32_t>(lanes_.next.size()), width = stream_width(lanes_.lanes_log2);
    const StreamDecoder decode = stream_decoder(width);
    if (is_prefix_) std::fill_n(out.symbols.get(), out.n, int16_t{0});
    Vector<Fault> faults(n_streams);
    const auto decode_stream = [&](uint32_t stream) {
        const uint8_t* words = payload_.data() + lanes_.next[stream];
        const uint8_t* const end = payload_.data() + lanes_.end[stream];
        const Share share = {lanes_.lanes_log2, stream, out.n, out.indexes.get()};
        State* const states = lanes_.states.data() + stream * width;
        if (is_prefix_) {
            if (!ended_[stream]) ended_[stream] = !decode_prefix(share, states, words, end, out.symbols.get());
            lanes_.next[stream] = words - payload_.data();
            return;
        }
        const Status status = decode(*tables_, share, states, words, end, out.symbols.get());
        lanes_.next[stream] = words - payload_.data();
        if (status != Status::kOk)
            faults[stream] = {status, stream, status == Status::kPastEnd ? words - end : kMaxEscapeClass + 1};
    };
    // A thread gets neighbouring streams, because the symbols that two neighbours write may lie in one cache line.
    const int n_parts = std::min<int>(threads_for(out.n, threads), n_streams);
    parallel_for(n_parts, n_parts, [&](int64_t part) {
        const Range range = streams_of(part, n_parts, n_streams);
        for (uint32_t stream = range.first; stream < range.last; ++stream) decode_stream(stream);
    });
    for (const Fault& fault : faults)
        if (fault) return fault_ = fault;
    // The indexes of later segments depend on all symbols of this one. If some are missing, no stream can go on.
    if (std::count(ended_.begin(), ended_.end(), 1) > 0) ended_.assign(n_streams, 1);
    out.give(indexes, symbols, threads);
    return {};
}

Fault Decoder::finish() const { return fault_ ? fault_ : check_finished(lanes_); }

}  // namespace aec
