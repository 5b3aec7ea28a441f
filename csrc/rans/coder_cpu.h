// The CPU's schedule of rans.h: loops over segments, streams, rows and lanes.
#pragma once

#include <memory>
#include <vector>

#include "base/status.h"
#include "rans/layout.h"

namespace aec {

constexpr int kAutoLanes = -1;

struct Payload {
    std::unique_ptr<uint8_t[]> buffer;
    const uint8_t* data = nullptr;  // inside the buffer: a payload is written backwards
    size_t size = 0;
};

// segments: lengths that sum to the number of symbols. lanes_log2: 0..12 or kAutoLanes. threads: at most; streams are
// shared out between them, so fewer than 64 lanes, or few symbols (threads_for), never use two.
Fault encode_cpu(const Tables& tables, const int16_t* symbols, const uint8_t* indexes,
                 const std::vector<uint64_t>& segments, int lanes_log2, int threads, Payload& payload);

// The lanes of a payload between two segments.
struct Lanes {
    int lanes_log2 = 0;
    std::vector<State> states;   // [lanes]
    std::vector<uint64_t> next;  // [streams] byte offset of the next word in the payload
    std::vector<uint64_t> end;   // [streams] byte offset of the stream's end
};

Fault open_payload(const uint8_t* payload, size_t size, Lanes& lanes);
Fault check_finished(const Lanes& lanes);

// One segment a call, in the order of encoding; not for two threads at once. A fault in the payload is final.
class Decoder {
public:
    Decoder(std::shared_ptr<const Tables> tables, const uint8_t* payload, size_t size);

    Fault fault() const { return fault_; }
    Fault decode(const uint8_t* indexes, size_t n, int threads, int16_t* symbols);
    Fault finish() const;

private:
    std::shared_ptr<const Tables> tables_;
    std::vector<uint8_t> payload_;  // with a margin that a row may overrun before it is found out
    Lanes lanes_;
    Fault fault_;
};

}  // namespace aec
