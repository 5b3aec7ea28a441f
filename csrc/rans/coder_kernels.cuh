// The kernels of the entropy coder. A warp codes one stream, with the arithmetic of rans.h in each lane. What is new
// here is how the lanes share the words of a stream: the lanes that need a word vote, and each takes the word whose
// number is the count of such lanes below it. These are the words that a loop over the lanes would take.
//
// A row cannot begin before the states of the previous row are known. Everything else is loaded ahead of time: indexes
// and symbols for the next kAhead rows, and words in windows of 32. A lane without a symbol codes one of index 0, which
// changes neither its state nor the stream (rans.h, Tables).
#pragma once

#include "base/warp.cuh"
#include "rans/coder_cuda.h"

namespace aec {

constexpr int kMaxCoderWarps = 16;  // warps in a block, which share the tables
constexpr int kBlocksAtLeast = 2;   // blocks on a multiprocessor; leaves a thread 64 registers, more than it uses
constexpr int kAhead = 4;           // rows whose indexes and symbols are loaded ahead of time

// The byte ranges of Tables that the decoder and the encoder read.
constexpr uint32_t kDecodeTablesBegin = 0, kDecodeTablesEnd = offsetof(Tables, reciprocals);
constexpr uint32_t kEncodeTablesBegin = offsetof(Tables, intervals), kEncodeTablesEnd = offsetof(Tables, costs);
static_assert(kDecodeTablesEnd % sizeof(uint4) == 0 && kEncodeTablesBegin % sizeof(uint4) == 0 &&
                  kEncodeTablesEnd % sizeof(uint4) == 0,
              "copied in these units");

// Returns the tables. With kShared it first copies their bytes [begin, end) to shared memory, at the same offsets; then
// all threads of the block must call it.
template <bool kShared>
__device__ const Tables& place_tables(const Tables* tables, uint32_t begin, uint32_t end) {
    if (!kShared) return *tables;
    uint4* const to = shared_memory<uint4>();
    const uint4* const from = reinterpret_cast<const uint4*>(tables);
    for (uint32_t i = begin / sizeof(uint4) + threadIdx.x; i < end / sizeof(uint4); i += blockDim.x) to[i] = from[i];
    __syncthreads();
    return *shared_memory<const Tables>();
}

// -------------------------------------------------------------------------------------------------------------- decode

// Reads the words of a stream, for a whole warp. A window of 64 words is kept in registers: lane l holds words l and 32
// + l of it, and word 64 + l, whose load may still be under way. Any lane gets any of the next 32 words with
// one shuffle.
class WordReader {
public:
    __device__ WordReader(const uint8_t* payloads, const DecodeStream& stream)
        : from_(payloads + stream.next), bytes_(static_cast<uint32_t>(stream.limit - stream.next)) {
        window_ = fetch();
        window_ |= fetch() << 16;
        ahead_ = fetch();
    }

    // Refills the states of the lanes that want a word, in lane order.
    __device__ void take(State& x) {
        const bool wants = wants_word(x);
        const uint32_t mask = __ballot_sync(kWarp, wants), number = used_ + __popc(mask & lanes_below());
        const uint32_t pair = __shfl_sync(kWarp, window_, number % kWarpSize);
        if (wants) x = refill(x, number < kWarpSize ? pair & 0xFFFF : pair >> 16);
        const uint32_t count = __popc(mask);
        used_ += count;
        taken_ += count;
        if (used_ >= kWarpSize) {
            window_ = window_ >> 16 | ahead_ << 16;
            ahead_ = fetch();
            used_ -= kWarpSize;
        }
    }

    __device__ uint32_t taken() const { return taken_; }

private:
    // Loads the next 32 words, one into each lane; 0 after the payload's end.
    __device__ uint32_t fetch() {
        const uint32_t at = fetched_ + 2 * lane_index();
        fetched_ = min(fetched_, 0xFFFFFFFFu - 4 * kWarpSize) + 2 * kWarpSize;  // must not wrap around to 0
        return at < bytes_ && bytes_ - at >= 2 ? load_word(from_ + at) : 0;
    }

    const uint8_t* from_;
    uint32_t bytes_, fetched_ = 0;
    uint32_t window_, ahead_;
    uint32_t used_ = 0, taken_ = 0;  // words taken: of the window, always below 32; since the start
};

// Decodes one symbol in each lane. Returns, in all lanes, whether any lane read an escape that is not allowed.
__device__ inline bool decode_row(const Tables& tables, State& x, WordReader& words, uint32_t index, Partial& partial) {
    x = decode_letter(x, tables, index, partial);
    words.take(x);
    if (!__any_sync(kWarp, partial.bits > 0)) return false;
    bool broken = false;
    do {
        if (partial.bits > 0) x = decode_more(x, tables, index, partial);
        words.take(x);
        broken |= partial.step == kBroken;
    } while (__any_sync(kWarp, partial.bits > 0));
    return __any_sync(kWarp, broken);
}

// Decodes one segment of all streams. The kept_ arrays hold only the symbols whose index is not 0; those of tile t are
// kept_firsts[t] .. kept_firsts[t + 1] - 1.
template <bool kShared>
__global__ void __launch_bounds__(kMaxCoderWarps * kWarpSize, kBlocksAtLeast)
    decode_kernel(const Tables* all_tables, const uint8_t* payloads, DecodeStream* streams, uint32_t n_streams,
                  uint32_t segment, const uint8_t* kept_indexes, const uint32_t* kept_firsts,
                  const ArgumentFault* argument_fault, int16_t* kept_symbols) {
    const Tables& tables = place_tables<kShared>(all_tables, kDecodeTablesBegin, kDecodeTablesEnd);
    const uint32_t stream_index = blockIdx.x * (blockDim.x / kWarpSize) + warp_index();
    if (stream_index >= n_streams || *argument_fault != ~ArgumentFault{0}) return;
    DecodeStream& stream = streams[stream_index];
    if (stream.fault.status != Status::kOk) return;  // an earlier segment failed

    const uint32_t first = kept_firsts[stream.tile], n = kept_firsts[stream.tile + 1] - first;
    const uint32_t lane = lane_index(), width = stream_width(stream.lanes_log2), step = lane_count(stream.lanes_log2);
    const uint32_t before = stream.number << kStreamLanesLog2;  // lanes of the tile before this stream's
    const uint8_t* const indexes = kept_indexes + first;
    int16_t* const symbols = kept_symbols + first;
    const auto index_at = [&](uint32_t row) -> uint32_t {
        const uint32_t j = row + before + lane;
        return lane < width && j < n ? indexes[j] : 0;
    };

    State x = lane < width ? stream.states[lane] : init();
    WordReader words(payloads, stream);
    const uint32_t words_left = static_cast<uint32_t>((stream.end - stream.next) / 2);
    StreamFault fault = {Status::kOk, segment, 0};
    uint32_t ahead[kAhead];
    for (int i = 0; i < kAhead; ++i) ahead[i] = index_at(i * step);
    for (uint32_t row = 0; row + before < n && fault.status == Status::kOk;) {
        uint32_t index[kAhead];
        for (int i = 0; i < kAhead; ++i) {
            index[i] = ahead[i];
            ahead[i] = index_at(row + (kAhead + i) * step);
        }
        for (int i = 0; i < kAhead && row + before < n; ++i, row += step) {
            Partial partial;
            const bool broken = decode_row(tables, x, words, index[i], partial);
            if (words.taken() > words_left || broken) {
                fault = {Status::kEscapeClass, segment, kMaxEscapeClass + 1};
                if (words.taken() > words_left) fault = {Status::kPastEnd, segment, 2 * (words.taken() - words_left)};
                break;
            }
            const uint32_t j = row + before + lane;
            if (lane < width && j < n) symbols[j] = partial.value;
        }
    }
    if (lane < width) stream.states[lane] = x;
    if (lane == 0) {
        stream.next += 2ull * words.taken();
        stream.fault = fault;
    }
}

// -------------------------------------------------------------------------------------------------------------- encode

// Writes the words of the lanes that are full below `head`. The words are in lane order in memory, the lowest lane's
// first, as the decoder takes them.
__device__ inline void give_words(State& x, uint32_t freq, uint8_t*& head) {
    const bool gives = full(x, freq);
    const uint32_t mask = __ballot_sync(kWarp, gives);
    head -= 2 * __popc(mask);
    if (gives) {
        store_word(head + 2 * __popc(mask & lanes_below()), x);
        x >>= 16;
    }
}

__device__ inline void encode_row(const Tables& tables, State& x, uint8_t*& head, uint32_t index, int symbol) {
    const Parts parts = split(tables, index, symbol);
    if (__any_sync(kWarp, parts.bits[0] > 0)) {
        for (int i = 1; i >= 0; --i) {
            const int bits = parts.bits[i];
            if (i == 1 && !__any_sync(kWarp, bits > 0)) continue;
            give_words(x, 1u << (kScaleBits - bits), head);  // with 0 bits freq is 2^14, and no state is full
            if (bits > 0) x = put_bits(x, parts.value[i], bits);
        }
    }
    const uint32_t interval = tables.intervals[index][parts.letter];
    give_words(x, freq_of(interval), head);
    x = put(x, start_of(interval), freq_of(interval), tables.reciprocals[index][parts.letter]);
}

// Encodes all streams, each into its room in `words` (EncodeTile), from the end of the room downwards. lengths:
// [n_streams], the bytes of each stream.
template <bool kShared>
__global__ void __launch_bounds__(kMaxCoderWarps * kWarpSize, kBlocksAtLeast)
    encode_kernel(EncodeBatch batch, const uint8_t* kept_indexes, const int16_t* kept_symbols,
                  const uint32_t* kept_firsts, const ArgumentFault* argument_fault, uint8_t* words,
                  uint64_t words_bytes, uint32_t* lengths, StreamFault* faults) {
    const Tables& tables = place_tables<kShared>(batch.tables, kEncodeTablesBegin, kEncodeTablesEnd);
    const uint32_t stream = blockIdx.x * (blockDim.x / kWarpSize) + warp_index();
    if (stream >= batch.n_streams || *argument_fault != ~ArgumentFault{0}) return;

    const uint32_t tile_index = batch.tile_of[stream];
    const EncodeTile tile = batch.tiles[tile_index];
    const uint32_t number = stream - tile.first_stream, lane = lane_index(), before = number << kStreamLanesLog2;
    const uint32_t width = stream_width(tile.lanes_log2), step = lane_count(tile.lanes_log2);
    const uint64_t base = tile.scratch + number * tile.stride;
    const int state_bytes = kStateBytes * width, row_bytes = 2 * kMaxWordsPerSymbol * width;

    State x = init();
    bool has_room = base + tile.stride <= words_bytes && tile.stride >= static_cast<uint64_t>(state_bytes);
    uint8_t* const end = words + base + tile.stride;
    uint8_t* const lowest = words + base + state_bytes;
    uint8_t* head = end;
    for (uint32_t s = batch.n_segments; s-- > 0;) {
        const uint32_t part = tile_index * batch.n_segments + s;
        const uint32_t first = kept_firsts[part], n = kept_firsts[part + 1] - first;
        if (before >= n) continue;
        // The position of this lane's symbol in the kept_ arrays, or UINT32_MAX if the lane has none in this row.
        const auto position = [&](int64_t row) -> uint32_t {
            const int64_t j = row + before + lane;
            return row >= 0 && lane < width && j < n ? static_cast<uint32_t>(first + j) : UINT32_MAX;
        };
        uint32_t index[kAhead];
        int symbol[kAhead];
        const auto fetch = [&](int i, int64_t row) {
            const uint32_t at = position(row);
            index[i] = at == UINT32_MAX ? 0 : kept_indexes[at];
            symbol[i] = at == UINT32_MAX ? 0 : kept_symbols[at];
        };
        int64_t row = static_cast<int64_t>((n - before - 1) / step) * step;
        for (int i = 0; i < kAhead; ++i) fetch(i, row - static_cast<int64_t>(i) * step);
        while (row >= 0 && has_room) {
            for (int i = 0; i < kAhead && row >= 0; ++i, row -= step) {
                if (head - lowest < row_bytes) {
                    has_room = false;
                    break;
                }
                const uint32_t this_index = index[i];
                const int this_symbol = symbol[i];
                fetch(i, row - static_cast<int64_t>(kAhead) * step);
                encode_row(tables, x, head, this_index, this_symbol);
            }
        }
    }
    if (has_room) {
        head -= state_bytes;
        if (lane < width) flush(head + kStateBytes * lane, x);
    }
    if (lane == 0) {
        const uint64_t length = has_room ? end - head : 0;
        lengths[stream] = static_cast<uint32_t>(min(length, uint64_t{UINT32_MAX}));  // which layout_kernel refuses
        faults[stream] = {has_room ? Status::kOk : Status::kNoRoom, 0, 0};
    }
}

// ------------------------------------------------------------------------------------------- from streams to payloads

constexpr int kLayoutThreads = 1024;

// The sum of `value` over this lane and all lanes below it.
__device__ inline uint64_t warp_sums(uint64_t value) {
    for (uint32_t delta = 1; delta < kWarpSize; delta *= 2) {
        const uint64_t other = __shfl_up_sync(kWarp, value, delta);
        if (lane_index() >= delta) value += other;
    }
    return value;
}

// Computes where each stream lies within its payload (offsets: [n_streams], in bytes) and where each payload ends in
// the result (result.ends). Launched with one block.
__global__ void __launch_bounds__(kLayoutThreads)
    layout_kernel(EncodeBatch batch, const uint32_t* lengths, const ArgumentFault* argument_fault, uint64_t* offsets,
                  EncodeResult result) {
    if (*argument_fault != ~ArgumentFault{0}) return;
    for (uint32_t t = warp_index(); t < batch.n_tiles; t += blockDim.x / kWarpSize) {  // a tile for each warp
        const EncodeTile tile = batch.tiles[t];
        const uint32_t n_streams = stream_count(tile.lanes_log2);
        uint64_t header = 0, before = 0;
        for (uint32_t i = 0; i < n_streams; i += kWarpSize) {
            const uint32_t number = i + lane_index();
            const uint32_t length = number < n_streams ? lengths[tile.first_stream + number] : 0;
            const uint64_t up_to_here = before + warp_sums(length);
            if (number < n_streams) offsets[tile.first_stream + number] = up_to_here - length;
            before = __shfl_sync(kWarp, up_to_here, kWarpSize - 1);
            const uint32_t varint = number + 1 < n_streams ? varint_bytes(length) : 0;
            header += __reduce_add_sync(kWarp, varint);
        }
        ++header;  // the lanes byte
        for (uint32_t number = lane_index(); number < n_streams; number += kWarpSize)
            offsets[tile.first_stream + number] += header;
        if (lane_index() == 0) result.ends[t + 1] = header + before;
    }
    __syncthreads();
    if (warp_index() > 0) return;
    if (lane_index() == 0) result.ends[0] = 0;
    uint64_t before = 0;
    for (uint32_t i = 0; i < batch.n_tiles; i += kWarpSize) {
        const uint32_t t = i + lane_index();
        const uint64_t bytes = t < batch.n_tiles ? result.ends[t + 1] : 0, up_to_here = before + warp_sums(bytes);
        if (t < batch.n_tiles) {
            const uint32_t first = batch.tiles[t].first_stream;
            if (bytes > kMaxPayloadBytes)
                result.faults[first] = {Status::kTooLong, 0, static_cast<int64_t>(bytes)};
            else if (up_to_here > result.capacity && result.faults[first].status == Status::kOk)
                result.faults[first] = {Status::kNoRoom, 0, static_cast<int64_t>(up_to_here)};
            result.ends[t + 1] = up_to_here;
        }
        before = __shfl_sync(kWarp, up_to_here, kWarpSize - 1);
    }
}

constexpr int kPackThreads = 256;

// Copies the streams to their payloads. The gridDim.y blocks (x, y) share the copying of stream x. The first block of a
// tile also writes the payload's header.
__global__ void __launch_bounds__(kPackThreads)
    pack_kernel(EncodeBatch batch, const uint8_t* words, const uint32_t* lengths, const uint64_t* offsets,
                const ArgumentFault* argument_fault, EncodeResult result) {
    if (*argument_fault != ~ArgumentFault{0}) return;
    const uint32_t stream = blockIdx.x, tile_index = batch.tile_of[stream], length = lengths[stream];
    const EncodeTile tile = batch.tiles[tile_index];
    const uint64_t end = result.ends[tile_index + 1];
    if (end > result.capacity) return;
    uint8_t* const payload = result.payloads + result.ends[tile_index];
    if (stream == tile.first_stream && blockIdx.y == 0 && threadIdx.x == 0) {
        uint8_t* p = payload;
        *p++ = static_cast<uint8_t>(tile.lanes_log2);
        for (uint32_t i = 0; i + 1 < stream_count(tile.lanes_log2); ++i) p = write_varint(p, lengths[stream + i]);
    }
    const uint8_t* const from = words + tile.scratch + (stream - tile.first_stream + 1) * tile.stride - length;
    uint8_t* const to = payload + offsets[stream];
    for (uint32_t i = blockIdx.y * kPackThreads + threadIdx.x; i < length; i += gridDim.y * kPackThreads)
        to[i] = from[i];
}

constexpr int kCostThreads = 256, kCostBlocks = 16;

__global__ void __launch_bounds__(kCostThreads)
    cost_kernel(const Tables* tables, const uint8_t* indexes, uint32_t n, unsigned long long* cost) {
    // The sum of a warp stays below 2^32: 16 * 8 = 128 warps share at most 2^31 symbols, whose costs are at most 255.
    uint32_t sum = 0;
    for (uint32_t i = blockIdx.x * kCostThreads + threadIdx.x; i < n; i += kCostBlocks * kCostThreads)
        sum += tables->costs[indexes[i] % kIndexCount];
    sum = __reduce_add_sync(kWarp, sum);
    if (lane_index() == 0 && sum > 0) atomicAdd(cost, static_cast<unsigned long long>(sum));
}

}  // namespace aec
