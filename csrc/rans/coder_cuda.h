// The GPU's schedule of rans.h: one warp a stream, one thread a lane, bytes equal to coder_cpu's.
//
// A launch works on a *batch* of tiles. Their symbols and indexes lie in one array, tile after tile, and within a tile
// segment after segment, those with index 0 among them: kernels leave them out and put them back (FORMAT §6).
//
// All pointers are device memory that the caller owns; nothing here allocates, copies to the host or synchronises.
// Kernels check all they read. A wrong argument goes to one `ArgumentFault`, a damaged payload to its stream's `fault`;
// both are looked at after a launch by whoever waits for its results.
#pragma once

#include "base/launch.h"
#include "base/status.h"
#include "rans/layout.h"

namespace aec {

constexpr uint64_t kMaxBatchSymbols = 1u << 31;

// The lowest one wins; all ones: no fault. position: in the array of the launch.
using ArgumentFault = unsigned long long;
AEC_HD ArgumentFault argument_fault(uint32_t segment, uint64_t position, uint32_t index) {
    return static_cast<ArgumentFault>(segment) << 56 | position << 8 | index;
}

struct StreamFault {
    Status status;
    uint32_t segment;  // in which it was found
    int64_t found;
};

// ------------------------------------------------------------------------------------------------------------- decode

// One stream of one payload: where it stands between two segments. Offsets are in bytes, in the buffer of all payloads.
struct DecodeStream {
    uint64_t next;       // word
    uint64_t end;        // of the stream
    uint64_t limit;      // of the payload: what a row may read before it is found to be beyond the end
    uint32_t tile;       // in the batch
    uint32_t number;     // in the tile
    int32_t lanes_log2;  // of the tile
    uint32_t reserved;
    StreamFault fault;
    State states[1 << kStreamLanesLog2];
};

struct DecodeBatch {
    const Tables* tables;
    const uint8_t* payloads;
    DecodeStream* streams;  // [n_streams]
    uint32_t n_streams;
    uint32_t n_tiles;
    ArgumentFault* fault;
    bool tables_in_shared;  // or through the first-level cache
};

uint64_t decode_scratch_bytes(uint64_t n, uint32_t n_tiles);

// The next segment of every tile, number `segment`. firsts: [n_tiles + 1], where each tile's symbols start, and n; may
// be null for one tile. symbols: [n], written. scratch: aligned to 16.
void decode_cuda(const DecodeBatch& batch, uint32_t segment, const uint8_t* indexes, const uint32_t* firsts, uint32_t n,
                 int16_t* symbols, uint8_t* scratch, Launch launch);

// ------------------------------------------------------------------------------------------------------------- encode

struct EncodeTile {
    uint64_t scratch;       // where the words of its first stream may lie ..
    uint64_t stride;        // .. and how many bytes each stream has
    uint32_t first_stream;  // in the batch
    int32_t lanes_log2;
};

// Made by the host from the tiles' lane counts, and copied to the device.
struct EncodeBatch {
    const Tables* tables;
    const EncodeTile* tiles;  // [n_tiles]
    const uint32_t* tile_of;  // [n_streams]
    const uint32_t* firsts;   // [n_tiles * n_segments + 1] where each segment's symbols start, and n
    uint32_t n_tiles, n_segments, n_streams;
    uint64_t max_stride;  // of the tiles
    bool tables_in_shared;
};

// What the encoder tells: a structure of arrays in device memory.
struct EncodeResult {
    uint8_t* payloads;    // [capacity], one after the other
    uint64_t capacity;
    uint64_t* ends;       // [n_tiles + 1]: 0, then where each payload ends
    StreamFault* faults;  // [n_streams]
    ArgumentFault* fault;
};

// 1/16 bits that the tables expect a tile to take, added to *cost: for choose_lanes_log2.
void cost_cuda(const Tables* tables, const uint8_t* indexes, uint32_t n, unsigned long long* cost, Launch launch);

// words: room for the streams, as EncodeTile says; words_bytes: how much. scratch: as for decoding, aligned to 16.
uint64_t encode_scratch_bytes(uint64_t n, uint32_t n_tiles, uint32_t n_segments, uint32_t n_streams);
void encode_cuda(const EncodeBatch& batch, const int16_t* symbols, const uint8_t* indexes, uint32_t n, uint8_t* words,
                 uint64_t words_bytes, uint8_t* scratch, const EncodeResult& result, Launch launch);

}  // namespace aec
