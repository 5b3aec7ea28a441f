// The GPU's schedule of rans.h: one warp a stream, one thread a lane, bytes equal to coder_cpu's.
//
// All pointers are device memory that the caller owns; nothing here allocates, copies or synchronises.
// Symbols and indexes come *compacted*: the symbols whose index is 0 are left out (FORMAT §6). Kernels check all they
// read; what they find wrong they write as one Status per stream, which the caller zeroes before and reads after.
// Correct and simple; not yet tuned.
#pragma once

#include "launch.h"
#include "layout.h"
#include "status.h"

namespace aec {

// One segment; call in order. states, next, end: `Lanes` of coder_cpu.h, on the device, kept between calls.
void decode_cuda(const Tables* tables, const uint8_t* payload, int lanes_log2, State* states, uint64_t* next,
                 const uint64_t* end, const uint8_t* indexes, uint64_t n, int16_t* symbols, Status* status,
                 Launch launch);

// segments: [n_segments] compacted lengths. scratch: `scratch_bytes` >= n_streams * max_stream_bytes(all rows), even.
// payload: [payload_capacity]; *payload_bytes tells how much of it was used. lengths: [streams], room for the kernels.
void encode_cuda(const Tables* tables, const int16_t* symbols, const uint8_t* indexes, const uint64_t* segments,
                 int n_segments, int lanes_log2, uint8_t* scratch, uint64_t scratch_bytes, uint64_t* lengths,
                 uint8_t* payload, uint64_t payload_capacity, uint64_t* payload_bytes, Status* status, Launch launch);

}  // namespace aec
