// Coding one segment's symbols in one stream. This part of the CPU coder exists once for each instruction set.
#pragma once

#include "base/status.h"
#include "rans/layout.h"

namespace aec {

// Bytes that vector loads and stores may touch beyond the words that are needed: a decoder reads up to so many bytes
// after the last word that a row can take, and an encoder writes up to so many bytes before the head. Buffers of words
// are this much larger at that end.
constexpr int kReach = 64;

// The symbols of one segment that a stream codes: of each row its up to 32 lanes (layout.h).
struct Share {
    int lanes_log2;
    uint32_t stream;
    uint64_t n;              // coded symbols of the whole segment, without those whose index is 0
    const uint8_t* indexes;  // [n], 1..63
};

// words: points to the next word of the stream; on return, to the first word that was not taken. Whether a row took
// words beyond `end` is checked after the row, so up to max_row_bytes + kReach bytes after `end` must be readable.
using StreamDecoder = Status (*)(const Tables& tables, const Share& share, State* states, const uint8_t*& words,
                                const uint8_t* end, int16_t* symbols);
// Encodes the last row first, and writes words downwards from `head`. Returns the new head, the first byte written.
using StreamEncoder = uint8_t* (*)(const Tables& tables, const Share& share, State* states, uint8_t* head,
                                  const int16_t* symbols);

// Coders for streams of `width` lanes: a power of two from 1 to 32, and at least 8 for the vector coders. Decoders and
// encoders are asked for apart, so that a program that only decodes is linked without the encoders.
StreamDecoder scalar_decoder(uint32_t width);
StreamDecoder neon_decoder(uint32_t width);
StreamDecoder avx2_decoder(uint32_t width);
StreamDecoder avx512_decoder(uint32_t width);
StreamEncoder scalar_encoder(uint32_t width);
StreamEncoder neon_encoder(uint32_t width);
StreamEncoder avx2_encoder(uint32_t width);
StreamEncoder avx512_encoder(uint32_t width);

}  // namespace aec
