// The entropy coder on the CPU: encodes and decodes the payload of one tile.
#pragma once

#include <memory>

#include "base/buffer.h"
#include "base/status.h"
#include "rans/coder_stream.h"

namespace aec {

constexpr int kAutoLanes = -1;

struct Payload {
    Buffer<uint8_t> buffer;
    const uint8_t* data = nullptr;  // within the buffer, because a payload is written from its end to its front
    size_t size = 0;
    Vector<Vector<uint64_t>> piece_bytes;  // [streams][segments, at least 1]: how many bytes of a
                                                     // stream belong to a segment. Segment 0 has the states.
};

// symbols, indexes: [sum of segments], one segment after the other. segments: their lengths. lanes_log2: 0..12 or
// kAutoLanes. threads: the most threads to use. Each thread codes whole streams, so a payload of fewer than 64 lanes
// has work for one thread only, and so has one of few symbols (threads_for). Returns the first argument that is wrong,
// if any.
Fault encode_cpu(const Tables& tables, const int16_t* symbols, const uint8_t* indexes,
                 const Vector<uint64_t>& segments, int lanes_log2, int threads, Payload& payload);

// The state of a payload's lanes and streams between two segments.
struct Lanes {
    int lanes_log2 = 0;
    Vector<State> states;   // [lanes]
    Vector<uint64_t> next;  // [streams] byte offset of the next word in the payload
    Vector<uint64_t> end;   // [streams] byte offset of the stream's end
};

// is_prefix: the payload may end early; then `end` is the end of what there is of each stream.
Fault open_payload(const uint8_t* payload, size_t size, Lanes& lanes, bool is_prefix = false);
Fault check_finished(const Lanes& lanes);

// Decodes a payload segment by segment, in the order in which they were encoded; finish() then checks that nothing is
// left. Two threads must not use a decoder at the same time. After a fault in the payload all calls return this fault.
//
// A decoder of a prefix gives the symbols that the beginning of a payload holds, and 0 for all others. There is no fault
// and no finish(): if the payload is damaged, what a stream gives from there on is wrong, until it ends or cannot go on.
class Decoder {
public:
    Decoder(std::shared_ptr<const Tables> tables, const uint8_t* payload, size_t size, bool is_prefix = false);

    Fault fault() const { return fault_; }
    Fault decode(const uint8_t* indexes, size_t n, int threads, int16_t* symbols);
    Fault finish() const;

private:
    bool decode_prefix(Share share, State* states, const uint8_t*& words, const uint8_t* end, int16_t* symbols) const;

    std::shared_ptr<const Tables> tables_;
    const bool is_prefix_;
    Vector<char> ended_;  // [streams] of a prefix: whether the stream has no more symbols
    Vector<uint8_t> payload_;  // a copy, longer by what a row may read beyond the end before that is noticed
    Lanes lanes_;
    Fault fault_;
};

}  // namespace aec
