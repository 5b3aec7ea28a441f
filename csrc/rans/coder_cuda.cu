// Launches the kernels of the entropy coder. The same code divides the scratch buffer and computes its size.
#include "rans/coder_cuda.h"

#include <algorithm>

#include "base/cuda_check.h"
#include "rans/coder_compact.cuh"
#include "rans/coder_kernels.cuh"

namespace aec {
namespace {

// Divides a buffer into arrays that are aligned to 16 bytes. With a null buffer it only counts the bytes.
class Carver {
public:
    explicit Carver(uint8_t* buffer) : buffer_(buffer) {}
    template <class T>
    T* take(uint64_t n) {
        T* const piece = buffer_ ? reinterpret_cast<T*>(buffer_ + used_) : nullptr;
        used_ += (n * sizeof(T) + 15) / 16 * 16;
        return piece;
    }
    uint64_t used() const { return used_; }

private:
    uint8_t* buffer_;
    uint64_t used_ = 0;
};

uint32_t chunk_count(uint64_t n) { return std::max<uint64_t>(1, (n + kChunk - 1) / kChunk); }

// Scratch arrays for the symbols whose index is not 0. `firsts` is the position of each part's first symbol among them,
// a part being a tile (decoder) or a tile's segment (encoder).
struct Kept {
    uint8_t* indexes;
    int16_t* symbols;
    uint32_t *firsts, *counts;
    Kept(Carver& carver, uint64_t n, uint64_t n_parts)
        : indexes(carver.take<uint8_t>(n)),
          symbols(carver.take<int16_t>(n)),
          firsts(carver.take<uint32_t>(n_parts + 1)),
          counts(carver.take<uint32_t>(chunk_count(n))) {}
};

void gather(const uint8_t* indexes, const int16_t* symbols, uint32_t n, const uint32_t* firsts, uint32_t n_parts,
            uint32_t segment, ArgumentFault* fault, const Kept& kept, Launch launch) {
    run_kernel(count_kernel, chunk_count(n), kCompactThreads, 0, launch, indexes, symbols, n, segment, kept.counts,
               fault);
    run_kernel(gather_kernel, chunk_count(n), kCompactThreads, 0, launch, indexes, symbols, n, kept.counts, firsts,
               n_parts, kept.indexes, kept.symbols, kept.firsts);
}

// Warps in a block, each of which codes a stream. A small batch gets small blocks, so that it spreads over all
// multiprocessors; a large one gets large blocks, so that many warps share a copy of the tables.
uint32_t warps_per_block(uint32_t n_streams) {
    return std::min<uint32_t>(kMaxCoderWarps, std::max<uint32_t>(1, n_streams / 128));
}
uint32_t block_count(uint32_t n_streams) {
    return (n_streams + warps_per_block(n_streams) - 1) / warps_per_block(n_streams);
}

// The number of blocks that copy each stream to its payload: one for each 16 KB of the room of the longest stream, 1 to
// 16.
uint32_t pack_blocks(uint64_t max_stride) {
    return static_cast<uint32_t>(std::clamp<uint64_t>(max_stride / 16384, 1, 16));
}

}  // namespace

uint64_t decode_scratch_bytes(uint64_t n, uint32_t n_tiles) {
    Carver carver(nullptr);
    Kept(carver, n, n_tiles);
    return carver.used();
}

void decode_cuda(const DecodeBatch& batch, uint32_t segment, const uint8_t* indexes, const uint32_t* firsts, uint32_t n,
                 int16_t* symbols, uint8_t* scratch, Launch launch) {
    const DeviceGuard guard(launch.device);
    Carver carver(scratch);
    const Kept kept(carver, n, batch.n_tiles);
    gather(indexes, nullptr, n, firsts, batch.n_tiles, segment, batch.fault, kept, launch);
    run_kernel(batch.tables_in_shared ? decode_kernel<true> : decode_kernel<false>, block_count(batch.n_streams),
               kWarpSize * warps_per_block(batch.n_streams), batch.tables_in_shared ? kDecodeTablesEnd : 0, launch,
               batch.tables, batch.payloads, batch.streams, batch.n_streams, segment, kept.indexes, kept.firsts,
               batch.fault, kept.symbols);
    run_kernel(scatter_kernel, chunk_count(n), kCompactThreads, 0, launch, indexes, n, kept.counts, kept.symbols,
               symbols);
}

void cost_cuda(const Tables* tables, const uint8_t* indexes, uint32_t n, unsigned long long* cost, Launch launch) {
    const DeviceGuard guard(launch.device);
    run_kernel(cost_kernel, kCostBlocks, kCostThreads, 0, launch, tables, indexes, n, cost);
}

uint64_t encode_scratch_bytes(uint64_t n, uint32_t n_tiles, uint32_t n_segments, uint32_t n_streams) {
    Carver carver(nullptr);
    Kept(carver, n, uint64_t{n_tiles} * n_segments);
    carver.take<uint64_t>(n_streams);
    carver.take<uint32_t>(n_streams);
    return carver.used();
}

void encode_cuda(const EncodeBatch& batch, const int16_t* symbols, const uint8_t* indexes, uint32_t n, uint8_t* words,
                 uint64_t words_bytes, uint8_t* scratch, const EncodeResult& result, Launch launch) {
    const DeviceGuard guard(launch.device);
    Carver carver(scratch);
    const uint32_t n_parts = batch.n_tiles * batch.n_segments;
    const Kept kept(carver, n, n_parts);
    AEC_CUDA_CHECK(cudaMemsetAsync(result.fault, 0xFF, sizeof *result.fault,
                                   reinterpret_cast<cudaStream_t>(launch.stream)));
    uint64_t* const offsets = carver.take<uint64_t>(batch.n_streams);
    uint32_t* const lengths = carver.take<uint32_t>(batch.n_streams);
    gather(indexes, symbols, n, batch.firsts, n_parts, 0, result.fault, kept, launch);
    run_kernel(batch.tables_in_shared ? encode_kernel<true> : encode_kernel<false>, block_count(batch.n_streams),
               kWarpSize * warps_per_block(batch.n_streams), batch.tables_in_shared ? kEncodeTablesEnd : 0, launch,
               batch, kept.indexes, kept.symbols, kept.firsts, result.fault, words, words_bytes, lengths,
               result.faults);
    run_kernel(layout_kernel, 1, kLayoutThreads, 0, launch, batch, lengths, result.fault, offsets, result);
    run_kernel(pack_kernel, dim3(batch.n_streams, pack_blocks(batch.max_stride)), kPackThreads, 0, launch, batch, words,
               lengths, offsets, result.fault, result);
}

}  // namespace aec
