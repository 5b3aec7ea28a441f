// The fibers of the CUDA emulation, and the order in which they run. cuda_runtime_api.h describes it.
#include "cuda_runtime_api.h"

#include <sys/mman.h>

#include <memory>
#include <numeric>
#include <unordered_map>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, bytes)
#define ASAN_UNPOISON_MEMORY_REGION(p, bytes)
#endif

#ifndef __x86_64__
#include <ucontext.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace aec {
constexpr size_t kMaxSharedBytes = 227 * 1024;  // the limit of a block on sm_90
thread_local uint4 dynamic_shared[kMaxSharedBytes / sizeof(uint4)];  // declared in csrc/base/warp.cuh
}  // namespace aec

namespace emulate {
namespace {

constexpr size_t kStackBytes = 64 * 1024, kGuardBytes = 4096, kDefaultSharedBytes = 48 * 1024;
constexpr int kMaxThreads = 1024;

// ------------------------------------------------------------------------------------------------------------- fibers

#ifdef __x86_64__
// Saves the callee-saved registers and the stack pointer to *save, and continues on the stack `to` where that one was
// left. (swapcontext would do the same, but makes two system calls each time.)
extern "C" void emulate_switch_stack(void** save, void* to);
asm(R"(
.text
.globl emulate_switch_stack
.hidden emulate_switch_stack
.type emulate_switch_stack, @function
emulate_switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emulate_switch_stack, .-emulate_switch_stack
)");

struct Context {
    void* stack_pointer = nullptr;
    void start(char* stack, void (*entry)()) {
        // The stack must look as if entry had been called: its alignment is then what the ABI asks for.
        void** top = reinterpret_cast<void**>(stack + kStackBytes) - 1;
        *top = nullptr;
        *--top = reinterpret_cast<void*>(entry);
        stack_pointer = std::fill_n(top - 6, 6, nullptr) - 6;
    }
};
void switch_context(Context& from, Context& to) { emulate_switch_stack(&from.stack_pointer, to.stack_pointer); }
#else
struct Context {
    ucontext_t saved;
    void start(char* stack, void (*entry)()) {
        getcontext(&saved);
        saved.uc_stack.ss_sp = stack;
        saved.uc_stack.ss_size = kStackBytes;
        saved.uc_link = nullptr;
        makecontext(&saved, entry, 0);
    }
};
void switch_context(Context& from, Context& to) { swapcontext(&from.saved, &to.saved); }
#endif

enum class Where { kReady, kAtWarp, kAtBlock, kDone };

struct Fiber {
    Context context;
    char* stack = nullptr;
    uint3 thread;
    Where where;
    Site site;
    uint32_t mask;
    void* call;
    void (*complete)(uint32_t, void* const*);

    Fiber() {
        void* memory = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED || mprotect(memory, kGuardBytes, PROT_NONE) != 0) throw std::bad_alloc();
        stack = static_cast<char*>(memory) + kGuardBytes;
    }
    ~Fiber() {
        ASAN_UNPOISON_MEMORY_REGION(stack, kStackBytes);  // a failed launch leaves poisoned stack frames behind
        munmap(stack - kGuardBytes, kGuardBytes + kStackBytes);
    }
};

Context scheduler;
std::vector<std::unique_ptr<Fiber>> fibers;  // the threads of the current block; reused for the next block
Fiber* current = nullptr;
const std::function<void()>* thread_body = nullptr;
std::unordered_map<const void*, size_t> shared_allowed;

void yield() { switch_context(current->context, scheduler); }

void fiber_main() {
    (*thread_body)();
    current->where = Where::kDone;
    yield();
}

// ---------------------------------------------------------------------------------------------------------- scheduling

uint32_t random_bits() {
    static uint64_t state = 1;
    state = state * 6364136223846793005 + 1442695040888963407;
    return static_cast<uint32_t>(state >> 32);
}

std::string describe(const Fiber& fiber) {
    const auto thread = "thread (" + std::to_string(fiber.thread.x) + ", " + std::to_string(fiber.thread.y) + ", " +
                        std::to_string(fiber.thread.z) + ") ";
    if (fiber.where == Where::kDone) return thread + "has ended";
    char mask[16];
    std::snprintf(mask, sizeof mask, "%08x", fiber.mask);
    return thread + "waits at " + fiber.site.what + " in " + fiber.site.file + ":" + std::to_string(fiber.site.line) +
           (fiber.where == Where::kAtWarp ? std::string(" for lanes ") + mask : "");
}

bool same_meeting(const Fiber& a, const Fiber& b) {
    return a.where == b.where && a.mask == b.mask && a.site.line == b.site.line && a.site.file == b.site.file &&
           a.site.what == b.site.what;
}

// Runs every lane of a warp that is ready until its next meeting, in a random order. Returns whether any lane ran.
bool run_lanes(int first, int n_lanes) {
    const uint32_t start = random_bits(), stride = random_bits() | 1;
    bool ran = false;
    for (uint32_t i = 0; i < kWarpSize; ++i) {
        const int lane = (start + i * stride) % kWarpSize;
        if (lane >= n_lanes || fibers[first + lane]->where != Where::kReady) continue;
        current = fibers[first + lane].get();
        threadIdx = current->thread;
        switch_context(scheduler, current->context);
        ran = true;
    }
    return ran;
}

// Completes the meetings of a warp for which all lanes have arrived. Returns whether there was one.
bool complete_meetings(int first, int n_lanes) {
    bool completed = false;
    for (int i = 0; i < n_lanes; ++i) {
        const Fiber& fiber = *fibers[first + i];
        if (fiber.where != Where::kAtWarp) continue;
        bool all_here = n_lanes == kWarpSize || fiber.mask >> n_lanes == 0;
        void* calls[kWarpSize] = {};
        for (int lane = 0; all_here && lane < n_lanes; ++lane)
            if (fiber.mask >> lane & 1) {
                all_here = same_meeting(*fibers[first + lane], fiber);
                calls[lane] = fibers[first + lane]->call;
            }
        if (!all_here) continue;
        const uint32_t mask = fiber.mask;
        fiber.complete(mask, calls);
        for (int lane = 0; lane < n_lanes; ++lane)
            if (mask >> lane & 1) fibers[first + lane]->where = Where::kReady;
        completed = true;
    }
    return completed;
}

[[noreturn]] void fail_stuck(int n_threads) {
    std::string what = "block (" + std::to_string(blockIdx.x) + ", " + std::to_string(blockIdx.y) + ") is stuck";
    int listed = 0;
    for (int i = 0; i < n_threads && listed < 6; ++i)
        if (i == 0 || !same_meeting(*fibers[i], *fibers[i - 1])) {
            what += "; " + describe(*fibers[i]);
            ++listed;
        }
    fail(what);
}

void run_block(int n_threads) {
    for (int i = 0; i < n_threads; ++i) {
        Fiber& fiber = *fibers[i];
        const unsigned x = i % blockDim.x, rest = i / blockDim.x;
        fiber.thread = {x, rest % blockDim.y, rest / blockDim.y};
        fiber.where = Where::kReady;
        fiber.context.start(fiber.stack, fiber_main);
    }
    const int n_warps = (n_threads + kWarpSize - 1) / kWarpSize;
    for (;;) {
        const uint32_t start = random_bits();
        for (int w = 0; w < n_warps; ++w) {
            const int first = (start + w) % n_warps * kWarpSize, n_lanes = std::min(kWarpSize, n_threads - first);
            while (run_lanes(first, n_lanes) || complete_meetings(first, n_lanes)) {}
        }
        const Fiber* waiting = nullptr;
        for (int i = 0; i < n_threads; ++i) {
            if (fibers[i]->where == Where::kDone) continue;
            if (fibers[i]->where != Where::kAtBlock || (waiting && !same_meeting(*fibers[i], *waiting)))
                fail_stuck(n_threads);
            waiting = fibers[i].get();
        }
        if (!waiting) return;
        for (int i = 0; i < n_threads; ++i)
            if (fibers[i]->where == Where::kAtBlock) fibers[i]->where = Where::kReady;
    }
}

}  // namespace

void fail(const std::string& what) { throw std::runtime_error("CUDA emulation: " + what); }

void meet_warp(const Site& site, uint32_t mask, void* call, void (*complete)(uint32_t, void* const*)) {
    current->where = Where::kAtWarp;
    current->site = site;
    current->mask = mask;
    current->call = call;
    current->complete = complete;
    yield();
}

void meet_block(const Site& site) {
    current->where = Where::kAtBlock;
    current->site = site;
    current->mask = 0;
    yield();
}

void allow_shared(const void* kernel, size_t bytes) { shared_allowed[kernel] = bytes; }

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel, const std::function<void()>& thread) {
    const dim3 grid = config.gridDim, block = config.blockDim;
    const uint64_t n_blocks = uint64_t{grid.x} * grid.y * grid.z, n_threads = uint64_t{block.x} * block.y * block.z;
    const size_t bytes = config.dynamicSmemBytes;
    const auto allowed = shared_allowed.find(kernel);
    if (n_blocks == 0 || grid.x > 0x7FFFFFFF || grid.y > 0xFFFF || grid.z > 0xFFFF || n_threads == 0 ||
        n_threads > kMaxThreads || bytes > aec::kMaxSharedBytes ||
        bytes > (allowed == shared_allowed.end() ? kDefaultSharedBytes : allowed->second))
        return cudaErrorInvalidConfiguration;
    while (fibers.size() < n_threads) fibers.push_back(std::make_unique<Fiber>());

    char* const shared = reinterpret_cast<char*>(aec::dynamic_shared);
    ASAN_POISON_MEMORY_REGION(shared + bytes, sizeof aec::dynamic_shared - bytes);
    thread_body = &thread;
    blockDim = block;
    gridDim = grid;
    std::vector<uint32_t> order(n_blocks);
    std::iota(order.begin(), order.end(), 0);
    for (size_t i = n_blocks; i > 1; --i) std::swap(order[i - 1], order[random_bits() % i]);
    try {
        for (const uint32_t i : order) {
            std::memset(shared, static_cast<int>(random_bits()), bytes);
            blockIdx = {i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y};
            run_block(static_cast<int>(n_threads));
        }
    } catch (...) {
        fibers.clear();  // these threads were stopped in the middle of the kernel and cannot be reused
        ASAN_UNPOISON_MEMORY_REGION(shared, sizeof aec::dynamic_shared);
        throw;
    }
    ASAN_UNPOISON_MEMORY_REGION(shared, sizeof aec::dynamic_shared);
    return cudaSuccess;
}

}  // namespace emulate
