// Tests the CUDA emulation itself: correct kernels give the correct results, and wrong kernels are detected. Prints
// "ok".
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "base/cuda_check.h"
#include "base/warp.cuh"
#include "cuda_runtime_api.h"

using namespace aec;

namespace {

void expect(bool condition, const char* what) {
    if (condition) return;
    std::printf("failed: %s\n", what);
    std::exit(1);
}

template <class... Parameters, class... Arguments>
std::string error_of(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                     Arguments... arguments) {
    try {
        run_kernel(kernel, grid, block, shared_bytes, Launch{0, 0}, arguments...);
    } catch (const std::runtime_error& error) {
        return error.what();
    }
    return "";
}

// Adds up all values with shuffles, shared memory, a barrier and an atomic addition.
__global__ void sum_kernel(const int* values, int n, int* sum) {
    int* const parts = shared_memory<int>();
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    int value = i < n ? values[i] : 0;
    for (int delta = 16; delta > 0; delta /= 2) value += __shfl_down_sync(kWarp, value, delta);
    if (lane_index() == 0) parts[warp_index()] = value;
    __syncthreads();
    if (threadIdx.x == 0) {
        int total = 0;
        for (unsigned w = 0; w < blockDim.x / kWarpSize; ++w) total += parts[w];
        atomicAdd(sum, total);
    }
}

__global__ void collectives_kernel(uint32_t* out) {
    const uint32_t lane = lane_index();
    uint32_t mine[6];
    mine[0] = __ballot_sync(kWarp, lane % 3 == 0);
    mine[1] = __shfl_up_sync(kWarp, lane, 1);
    mine[2] = __shfl_xor_sync(kWarp, lane, 5);
    mine[3] = __reduce_add_sync(kWarp, lane);
    mine[4] = lane < 8 ? __ballot_sync(0xFF, lane == 3) : __ballot_sync(0xFFFFFF00, lane == 9);
    mine[5] = __any_sync(kWarp, lane == 7) && !__all_sync(kWarp, lane == 7);
    for (int i = 0; i < 6; ++i) out[6 * lane + i] = mine[i];
}

__global__ void diverging_kernel(uint32_t* out) {
    if (lane_index() < 16)
        out[0] = __ballot_sync(kWarp, 1);
    else
        out[1] = __ballot_sync(kWarp, 1);
}

__global__ void leaving_kernel(uint32_t* out) {
    if (lane_index() == 5) return;
    out[0] = __ballot_sync(kWarp, 1);
}

__global__ void half_a_barrier_kernel() {
    if (warp_index() == 0) __syncthreads();
    else __syncwarp();
    if (warp_index() == 1) __syncwarp();
    if (warp_index() == 1) __syncthreads();
}

// Each lane reads its neighbour's value, which is correct only if all lanes have written before any lane reads.
__global__ void neighbour_kernel(bool sync, int* wrong) {
    uint32_t* const values = shared_memory<uint32_t>();
    values[lane_index()] = lane_index();
    if (sync) __syncwarp();
    if (values[(lane_index() + 1) % kWarpSize] != (lane_index() + 1) % kWarpSize) atomicAdd(wrong, 1);
}

}  // namespace

int main() {
    std::vector<int> values(1000);
    int sum = 0, expected = 0, wrong = 0;
    for (int i = 0; i < 1000; ++i) expected += values[i] = i * i % 97;
    expect(error_of(sum_kernel, 8, 128, 4 * sizeof(int), values.data(), 1000, &sum).empty(), "sum runs");
    expect(sum == expected, "sum is right");

    std::vector<uint32_t> out(6 * 32), two(2);
    expect(error_of(collectives_kernel, 1, 32, 0, out.data()).empty(), "collectives run");
    for (uint32_t lane = 0; lane < 32; ++lane) {
        const uint32_t want[6] = {0x49249249, lane ? lane - 1 : 0, lane ^ 5, 496, lane < 8 ? 8u : 512u, 1};
        expect(std::equal(want, want + 6, &out[6 * lane]), "collectives are right");
    }

    expect(error_of(diverging_kernel, 1, 32, 0, two.data()).find("stuck") != std::string::npos, "divergence is found");
    expect(error_of(leaving_kernel, 1, 32, 0, two.data()).find("has ended") != std::string::npos, "exit is found");
    expect(error_of(half_a_barrier_kernel, 1, 64, 0).find("stuck") != std::string::npos, "two barriers are found");

    for (int i = 0; i < 20; ++i) run_kernel(neighbour_kernel, 1, 32, 128, Launch{0, 0}, true, &wrong);
    expect(wrong == 0, "neighbours are seen");
    for (int i = 0; i < 20; ++i) run_kernel(neighbour_kernel, 1, 32, 128, Launch{0, 0}, false, &wrong);
    expect(wrong > 0, "a missing __syncwarp shows");

    expect(!error_of(sum_kernel, 1, 2048, 64, values.data(), 1000, &sum).empty(), "blocks of 2048 are refused");
    expect(!error_of(sum_kernel, 1, 32, 300 << 10, values.data(), 1000, &sum).empty(), "so is too much shared memory");
    std::puts("ok");
}
