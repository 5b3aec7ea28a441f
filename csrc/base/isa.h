// Which instruction set the CPU code uses: the best that this machine has, unless told otherwise. One wheel runs
// everywhere.
//
// Files named *_avx2.cpp, *_avx512.cpp and *_neon.cpp are compiled with the flags that setup.py gives their suffix, and
// are called only where `has` says so. They include nothing of the standard library that has code: the linker keeps one
// copy of an inline function, and it must not be the one with AVX-512 in it. (For the same reason AEC_HD is static.)
#pragma once

#include "base/portable.h"

namespace aec {

enum class Isa : int {
    kScalar,
    kSimd128,  // every x86-64 (SSE2), and WebAssembly where it has vectors; for the nets, the coder is plain C++
    kNeon,    // every aarch64
    kAvx2,    // with BMI2: Haswell and Zen on
    kAvx512,  // with VBMI, VBMI2, VNNI: Ice Lake and Zen 4 on
};
constexpr int kIsaCount = 5;

const char* name_of(Isa isa);
bool has(Isa isa);       // compiled in, and this machine runs it
Isa current_isa();       // what coder and nets use now
void set_isa(Isa isa);   // for tests and benchmarks, whole process; throws invalid_argument unless has(isa)

}  // namespace aec
