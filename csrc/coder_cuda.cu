// A warp runs one stream in lockstep. All it adds to rans.h is who gets which word: the lanes that want one vote, and
// each takes the word whose number is the count of voters below it, which is what a loop over the lanes hands out.
#include "coder_cuda.h"
#include "cuda_check.h"
#include "warp.cuh"

namespace aec {
namespace {

// False (to all lanes) if the stream has too few words left.
__device__ bool take_words(State& x, bool wants, const uint8_t* payload, uint64_t& next, uint64_t end) {
    const uint32_t mask = __ballot_sync(kWarp, wants);
    const uint64_t bytes = 2 * __popc(mask);
    if (end - next < bytes) return false;
    if (wants) x = refill(x, load_word(payload + next + 2 * __popc(mask & lanes_below())));
    next += bytes;
    return true;
}

// Words go below `head`, the highest lane's first: in memory they lie in lane order.
__device__ bool give_words(State& x, bool gives, const uint8_t* base, uint8_t*& head) {
    const uint32_t mask = __ballot_sync(kWarp, gives);
    const int bytes = 2 * __popc(mask);
    if (head - base < bytes) return false;
    head -= bytes;
    if (gives) {
        store_word(head + 2 * __popc(mask & lanes_below()), x);
        x >>= 16;
    }
    return true;
}

__device__ Status decode_row(const Tables& tables, State& x, const uint8_t* payload, uint64_t& next, uint64_t end,
                             bool active, uint32_t index, Partial& partial) {
    if (__any_sync(kWarp, active && (index == 0 || index >= kIndexCount))) return Status::kIndex;
    if (active) x = decode_letter(x, tables, index, partial);
    if (!take_words(x, active && wants_word(x), payload, next, end)) return Status::kPastEnd;
    for (int phase = 1; phase <= 2; ++phase) {
        const bool more = active && partial.bits > 0;
        if (!__any_sync(kWarp, more)) break;
        if (more) x = decode_more(x, tables, index, partial);
        if (!take_words(x, more && wants_word(x), payload, next, end)) return Status::kPastEnd;
        if (__any_sync(kWarp, more && partial.step == kBroken)) return Status::kEscapeClass;
    }
    return Status::kOk;
}

__global__ void decode_kernel(const Tables* tables, const uint8_t* payload, int lanes_log2, State* states,
                              uint64_t* next_words, const uint64_t* ends, const uint8_t* indexes, uint64_t n,
                              int16_t* symbols, Status* status) {
    const uint32_t stream = blockIdx.x, lane = threadIdx.x, width = stream_width(lanes_log2);
    if (status[stream] != Status::kOk) return;  // an earlier segment failed
    State x = lane < width ? states[stream * width + lane] : init();
    uint64_t next = next_words[stream];
    const uint64_t end = ends[stream];
    for (uint64_t row = 0; first_of_row(row, stream, lanes_log2) < n; ++row) {
        const uint64_t j = first_of_row(row, stream, lanes_log2) + lane;
        const bool active = lane < width && j < n;
        Partial partial = {};
        const Status row_status =
            decode_row(*tables, x, payload, next, end, active, active ? indexes[j] : 0, partial);
        if (row_status != Status::kOk) {
            if (lane == 0) status[stream] = row_status;
            return;
        }
        if (active) symbols[j] = partial.value;
    }
    if (lane < width) states[stream * width + lane] = x;
    if (lane == 0) next_words[stream] = next;
}

__device__ Status encode_row(const Tables& tables, State& x, const uint8_t* base, uint8_t*& head, bool active,
                             uint32_t index, int symbol) {
    if (__any_sync(kWarp, active && (index == 0 || index >= kIndexCount))) return Status::kIndex;
    if (__any_sync(kWarp, active && (symbol > kMaxSymbol || symbol < -kMaxSymbol))) return Status::kSymbol;
    Parts parts = {};
    if (active) parts = split(tables, index, symbol);
    for (int i = 1; i >= 0; --i) {
        const int bits = parts.bits[i];
        if (!give_words(x, bits > 0 && full(x, 1u << (kScaleBits - bits)), base, head)) return Status::kNoRoom;
        if (bits > 0) x = put_bits(x, parts.value[i], bits);
    }
    const uint32_t interval = tables.intervals[index][parts.letter];
    if (!give_words(x, active && full(x, freq_of(interval)), base, head)) return Status::kNoRoom;
    if (active) x = put(x, start_of(interval), freq_of(interval), tables.reciprocals[index][parts.letter]);
    return Status::kOk;
}

// Stream i ends at the end of scratch[i * stride, (i + 1) * stride).
__global__ void encode_kernel(const Tables* tables, const int16_t* symbols, const uint8_t* indexes,
                              const uint64_t* segments, int n_segments, int lanes_log2, uint8_t* scratch,
                              uint64_t stride, uint64_t* lengths, Status* status) {
    const uint32_t stream = blockIdx.x, lane = threadIdx.x, width = stream_width(lanes_log2);
    uint8_t* const base = scratch + stream * stride;
    uint8_t* head = base + stride;
    uint64_t offset = 0;
    for (int s = 0; s < n_segments; ++s) offset += segments[s];

    State x = init();
    Status row_status = Status::kOk;
    for (int s = n_segments - 1; s >= 0; --s) {
        const uint64_t n = segments[s];
        offset -= n;
        for (uint64_t row = row_count(n, lanes_log2); row-- > 0 && row_status == Status::kOk;) {
            const uint64_t j = first_of_row(row, stream, lanes_log2) + lane;
            const bool active = lane < width && j < n;
            row_status = encode_row(*tables, x, base, head, active, active ? indexes[offset + j] : 0,
                                    active ? symbols[offset + j] : 0);
        }
    }
    const int state_bytes = kStateBytes * width;
    if (row_status == Status::kOk && head - base < state_bytes) row_status = Status::kNoRoom;
    if (row_status == Status::kOk) {
        head -= state_bytes;
        if (lane < width) flush(head + kStateBytes * lane, x);
    }
    if (lane == 0) {
        lengths[stream] = base + stride - head;
        status[stream] = row_status;
    }
}

// Header and streams, side by side: block i moves stream i. Whoever fails to encode moves nothing of value.
__global__ void pack_kernel(const uint8_t* scratch, uint64_t stride, const uint64_t* lengths, int lanes_log2,
                            uint8_t* payload, uint64_t capacity, uint64_t* payload_bytes, Status* status) {
    const uint32_t stream = blockIdx.x, n_streams = gridDim.x;
    uint64_t header = 1, before = 0, total = 0;
    for (uint32_t i = 0; i < n_streams; ++i) {
        if (i + 1 < n_streams) header += varint_bytes(static_cast<uint32_t>(lengths[i]));
        if (i < stream) before += lengths[i];
        total += lengths[i];
    }
    if (header + total > capacity || header + total > kMaxPayloadBytes) {
        if (threadIdx.x == 0 && status[stream] == Status::kOk) status[stream] = Status::kNoRoom;
        return;
    }
    if (stream == 0 && threadIdx.x == 0) {
        uint8_t* p = payload;
        *p++ = static_cast<uint8_t>(lanes_log2);
        for (uint32_t i = 0; i + 1 < n_streams; ++i) p = write_varint(p, static_cast<uint32_t>(lengths[i]));
        *payload_bytes = header + total;
    }
    const uint8_t* const from = scratch + (stream + 1) * stride - lengths[stream];
    for (uint64_t i = threadIdx.x; i < lengths[stream]; i += blockDim.x) payload[header + before + i] = from[i];
}

}  // namespace

void decode_cuda(const Tables* tables, const uint8_t* payload, int lanes_log2, State* states, uint64_t* next,
                 const uint64_t* end, const uint8_t* indexes, uint64_t n, int16_t* symbols, Status* status,
                 Launch launch) {
    const DeviceGuard guard(launch.device);
    run_kernel(decode_kernel, stream_count(lanes_log2), 32, 0, launch, tables, payload, lanes_log2, states, next, end,
               indexes, n, symbols, status);
}

void encode_cuda(const Tables* tables, const int16_t* symbols, const uint8_t* indexes, const uint64_t* segments,
                 int n_segments, int lanes_log2, uint8_t* scratch, uint64_t scratch_bytes, uint64_t* lengths,
                 uint8_t* payload, uint64_t payload_capacity, uint64_t* payload_bytes, Status* status, Launch launch) {
    const DeviceGuard guard(launch.device);
    const uint32_t n_streams = stream_count(lanes_log2);
    const uint64_t stride = scratch_bytes / n_streams;
    run_kernel(encode_kernel, n_streams, 32, 0, launch, tables, symbols, indexes, segments, n_segments, lanes_log2,
               scratch, stride, lengths, status);
    run_kernel(pack_kernel, n_streams, 256, 0, launch, scratch, stride, lengths, lanes_log2, payload, payload_capacity,
               payload_bytes, status);
}

}  // namespace aec
