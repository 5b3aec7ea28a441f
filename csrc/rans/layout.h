// The layout of a tile's payload: how symbols are divided among lanes, rows and streams, and how many bytes these take
// (FORMAT §3, §6).
//
// The symbols of a segment that are coded are numbered from 0. Of 2^k lanes, symbol j belongs to lane j mod 2^k, and to
// row j div 2^k. A stream holds up to 32 neighbouring lanes, so of each row it codes up to stream_width consecutive
// symbols. From here on "a row" of a stream means these.
#pragma once

#include "rans/rans.h"

namespace aec {

constexpr int kMaxLanesLog2 = 12;
constexpr int kStreamLanesLog2 = 5;  // a stream has up to 32 lanes, so that one warp of a GPU can code it
constexpr uint64_t kBytesPerLane = 2048;
constexpr int kStateBytes = 4;
constexpr int kMaxVarintBytes = 5;
constexpr uint64_t kMaxPayloadBytes = 0xFFFFFFFF;  // FORMAT §2: the length is a varint below 2^32

AEC_HD uint32_t lane_count(int lanes_log2) { return 1u << lanes_log2; }
AEC_HD uint32_t stream_count(int lanes_log2) {
    return lanes_log2 > kStreamLanesLog2 ? 1u << (lanes_log2 - kStreamLanesLog2) : 1;
}
AEC_HD uint32_t stream_width(int lanes_log2) {
    return lanes_log2 > kStreamLanesLog2 ? 1u << kStreamLanesLog2 : 1u << lanes_log2;
}
AEC_HD uint64_t row_count(uint64_t n_symbols, int lanes_log2) {
    return (n_symbols + lane_count(lanes_log2) - 1) >> lanes_log2;
}
AEC_HD uint64_t first_of_row(uint64_t row, uint32_t stream, int lanes_log2) {
    return (row << lanes_log2) + (static_cast<uint64_t>(stream) << kStreamLanesLog2);
}

// The number of lanes that an encoder chooses for a payload of about this size: the largest power of two that leaves
// each lane 2 KB. A lane costs about three bytes that carry no information, because its state begins at 2^16 and is
// written as four bytes: 0.15 % of 2 KB. By the same rule a payload gets a second stream from 128 KB on, so that each
// stream holds at least 64 KB.
AEC_HD int choose_lanes_log2(uint64_t payload_bytes) {
    int lanes_log2 = 0;
    while (lanes_log2 < kMaxLanesLog2 && payload_bytes >> (lanes_log2 + 1) >= kBytesPerLane) ++lanes_log2;
    return lanes_log2;
}

// Upper bounds: every phase of every symbol writes a word.
AEC_HD uint64_t max_row_bytes(int lanes_log2) { return 2ull * kMaxWordsPerSymbol * stream_width(lanes_log2); }
AEC_HD uint64_t max_stream_bytes(uint64_t n_rows, int lanes_log2) {
    return kStateBytes * stream_width(lanes_log2) + n_rows * max_row_bytes(lanes_log2);
}
AEC_HD uint64_t max_header_bytes(int lanes_log2) { return 1 + kMaxVarintBytes * (stream_count(lanes_log2) - 1); }

AEC_HD int varint_bytes(uint32_t value) {
    int n = 1;
    while (value >>= 7) ++n;
    return n;
}

AEC_HD uint8_t* write_varint(uint8_t* p, uint32_t value) {
    for (; value >= 0x80; value >>= 7) *p++ = static_cast<uint8_t>(value | 0x80);
    *p++ = static_cast<uint8_t>(value);
    return p;
}

// Reads a varint (FORMAT §1) into `value`. Returns a pointer to the byte after it, or null if it is cut off, is not in
// its shortest form, or is 2^32 or more.
AEC_HD const uint8_t* read_varint(const uint8_t* p, const uint8_t* end, uint32_t& value) {
    uint64_t v = 0;
    for (int i = 0; i < kMaxVarintBytes && p != end; ++i) {
        const uint8_t byte = *p++;
        v |= static_cast<uint64_t>(byte & 0x7F) << (7 * i);
        if (byte < 0x80) {
            if ((byte == 0 && i > 0) || v >> 32) return nullptr;
            value = static_cast<uint32_t>(v);
            return p;
        }
    }
    return nullptr;
}

}  // namespace aec
