// The entropy coder on the GPU. A warp codes a stream and each of its threads codes a lane. The bytes are the same as
// those of coder_cpu.h.
//
// A launch works on a batch of tiles. Their symbols and their indexes each lie in one array, tile after tile, and
// within a tile segment after segment. The arrays include the symbols with index 0, which are not coded: kernels remove
// them before the coding and insert them again after it (FORMAT §6).
//
// All pointers are to device memory that the caller owns. Nothing here allocates memory, copies to the host or waits
// for the device. Kernels check every index, symbol and payload that they read. The first wrong argument is recorded in
// an ArgumentFault, and a damaged payload in the `fault` of its stream; the caller reads both when it waits for the
// results.
#pragma once

#include "base/launch.h"
#include "base/status.h"
#include "rans/layout.h"

namespace aec {

constexpr uint64_t kMaxBatchSymbols = 1u << 31;

// A wrong index or symbol, as one number: the segment, its position in the arrays of the launch, and its index. The
// least of these numbers is kept, so that the earliest fault is reported. All bits set: there is no fault.
using ArgumentFault = unsigned long long;
AEC_HD ArgumentFault argument_fault(uint32_t segment, uint64_t position, uint32_t index) {
    return static_cast<ArgumentFault>(segment) << 56 | position << 8 | index;
}

struct StreamFault {
    Status status;
    uint32_t segment;  // the segment that was being decoded
    int64_t found;
};

// ------------------------------------------------------------------------------------------------------------- decode

// The state of one stream of one payload between two segments. Offsets are in bytes, in the buffer of all payloads.
struct DecodeStream {
    uint64_t next;       // offset of the next word
    uint64_t end;        // offset of the end of the stream
    uint64_t limit;      // offset of the payload's end: no byte from there on is read
    uint32_t tile;       // number of the tile in the batch
    uint32_t number;     // number of the stream in the tile
    int32_t lanes_log2;  // log2 of the number of lanes of the tile
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
    bool tables_in_shared;  // copy the tables to shared memory; else read them through the first-level cache
};

uint64_t decode_scratch_bytes(uint64_t n, uint32_t n_tiles);

// Decodes the next segment of every tile, which is number `segment`. indexes: [n]. firsts: [n_tiles + 1], the positions
// at which each tile's symbols start, then n; may be null for one tile. symbols: [n], output. scratch:
// [decode_scratch_bytes(n, n_tiles)], aligned to 16 bytes.
void decode_cuda(const DecodeBatch& batch, uint32_t segment, const uint8_t* indexes, const uint32_t* firsts, uint32_t n,
                 int16_t* symbols, uint8_t* scratch, Launch launch);

// ------------------------------------------------------------------------------------------------------------- encode

struct EncodeTile {
    uint64_t scratch;       // byte offset of the room for its first stream in `words`
    uint64_t stride;        // bytes of room for each of its streams
    uint32_t first_stream;  // number of its first stream in the batch
    int32_t lanes_log2;
};

// The layout of a batch. The host makes the arrays from the tiles' segments and numbers of lanes, and copies them to
// the device.
struct EncodeBatch {
    const Tables* tables;
    const EncodeTile* tiles;  // [n_tiles]
    const uint32_t* tile_of;  // [n_streams] the tile of each stream
    const uint32_t* firsts;   // [n_tiles * n_segments + 1] positions at which each segment's symbols start, then n
    uint32_t n_tiles, n_segments, n_streams;
    uint64_t max_stride;  // the largest stride of all tiles
    bool tables_in_shared;
};

// The encoder's output, in device memory.
struct EncodeResult {
    uint8_t* payloads;    // [capacity] all payloads, one after the other
    uint64_t capacity;
    uint64_t* ends;       // [n_tiles + 1] 0, then the byte offset of each payload's end
    StreamFault* faults;  // [n_streams]
    ArgumentFault* fault;
};

// Adds to *cost the expected size of a tile's symbols under the tables, in 1/16 bits. choose_lanes_log2 needs it.
void cost_cuda(const Tables* tables, const uint8_t* indexes, uint32_t n, unsigned long long* cost, Launch launch);

// Encodes a batch of n symbols. words: [words_bytes], room for the streams as laid out in EncodeTile. scratch:
// [encode_scratch_bytes(..)], aligned to 16 bytes.
uint64_t encode_scratch_bytes(uint64_t n, uint32_t n_tiles, uint32_t n_segments, uint32_t n_streams);
void encode_cuda(const EncodeBatch& batch, const int16_t* symbols, const uint8_t* indexes, uint32_t n, uint8_t* words,
                 uint64_t words_bytes, uint8_t* scratch, const EncodeResult& result, Launch launch);

}  // namespace aec
