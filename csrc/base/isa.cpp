#include "base/isa.h"

#include <atomic>
#include <stdexcept>
#include <string>

namespace aec {
namespace {

Isa best() {
    for (int i = kIsaCount - 1; i > 0; --i)
        if (has(static_cast<Isa>(i))) return static_cast<Isa>(i);
    return Isa::kScalar;
}

std::atomic<Isa>& setting() {
    static std::atomic<Isa> isa(best());
    return isa;
}

}  // namespace

const char* name_of(Isa isa) {
    switch (isa) {
        case Isa::kScalar: return "scalar";
        case Isa::kSimd128: return "simd128";
        case Isa::kNeon: return "neon";
        case Isa::kAvx2: return "avx2";
        case Isa::kAvx512: return "avx512";
    }
    return "unknown";
}

bool has(Isa isa) {
    if (isa == Isa::kScalar) return true;
#if defined(__SSE2__) || defined(__wasm_simd128__)
    if (isa == Isa::kSimd128) return true;
#endif
#if defined(__x86_64__)
    __builtin_cpu_init();  // not every compiler's runtime has done so when a library is loaded: zig's has not
    // __builtin_cpu_supports also checks that the operating system saves the wide registers when it switches threads.
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    if (isa == Isa::kAvx2) return avx2;
    if (isa == Isa::kAvx512)
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
               __builtin_cpu_supports("avx512vnni");
#elif defined(__aarch64__)
    if (isa == Isa::kNeon) return true;
#endif
    return false;
}

Isa current_isa() { return setting().load(std::memory_order_relaxed); }

void set_isa(Isa isa) {
    if (!has(isa)) throw std::invalid_argument(std::string("this machine or build has no ") + name_of(isa));
    setting().store(isa, std::memory_order_relaxed);
}

}  // namespace aec
