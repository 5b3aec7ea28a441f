#include "base/isa.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <atomic>
#include <stdexcept>
#include <string>

namespace aec {
namespace {

#if defined(__x86_64__)
struct Found {
    bool avx2, avx512;
};

bool all(unsigned word, unsigned bits) { return (word & bits) == bits; }

// Not __builtin_cpu_supports: with zig's runtime, which the wheels are built with, it knows of no instruction set.
Found look() {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !all(c, bit_OSXSAVE | bit_AVX)) return {false, false};
    unsigned kept, above;  // the registers that the operating system saves when it switches threads
    __asm__("xgetbv" : "=a"(kept), "=d"(above) : "c"(0));
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return {false, false};
    constexpr unsigned kYmm = 0x06, kZmm = 0xe6;
    const bool avx2 = all(kept, kYmm) && all(b, bit_AVX2 | bit_BMI | bit_BMI2);
    const bool avx512 = avx2 && all(kept, kZmm) && all(b, bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL) &&
                        all(c, bit_AVX512VBMI | bit_AVX512VBMI2 | bit_AVX512VNNI);
    return {avx2, avx512};
}
#endif

Isa best() {
    for (int i = kIsaCount - 1; i > 0; --i)
        if (has(static_cast<Isa>(i))) return static_cast<Isa>(i);
    return Isa::kScalar;
}

std::atomic<Isa>& setting() {
    static std::atomic<Isa> isa(best());
    return isa;
}

// Asked when the library is loaded: a process that forks while one of its threads asks first has a child that waits for
// that thread for ever.
[[maybe_unused]] const Isa loaded = setting().load(std::memory_order_relaxed);

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
#if defined(__wasm_simd128__)
    return isa == Isa::kSimd128;  // a module with SIMD runs nowhere without, so it has no other code
#endif
    if (isa == Isa::kScalar) return true;
#if defined(__SSE2__)
    if (isa == Isa::kSimd128) return true;
#endif
#if defined(__x86_64__)
    static const Found found = look();  // once: a virtual machine leaves to its host for CPUID
    if (isa == Isa::kAvx2) return found.avx2;
    if (isa == Isa::kAvx512) return found.avx512;
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
