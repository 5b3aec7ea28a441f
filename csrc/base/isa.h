// Which instruction set the CPU code uses. It is chosen at run time, so that one binary runs on every machine: the best
// one that this machine has, unless set_isa is called.
//
// Files named *_avx2.cpp, *_avx512.cpp and *_neon.cpp are compiled with the flags that setup.py gives for their suffix,
// and their functions are called only where `has` returns true.
//
// These files must not share any inline function or template with the rest of the program. Each file that uses such a
// function compiles a copy of it, and the linker keeps only one of the copies. If it kept the copy that was compiled
// for AVX-512, the whole program would crash on machines without it. Therefore these files include no standard library
// header that defines functions, everything in the headers for SIMD is in an anonymous namespace, and AEC_HD functions
// are static.
#pragma once

#include "base/portable.h"

namespace aec {

enum class Isa : int {
    kScalar,
    kSimd128,  // SSE2 (every x86-64) or WebAssembly's SIMD, for the networks; the entropy coder's code is kScalar's
    kNeon,    // every aarch64
    kAvx2,    // with BMI2: Intel since Haswell, AMD since Zen
    kAvx512,  // with VBMI, VBMI2, VNNI: Intel since Ice Lake, AMD since Zen 4
};
constexpr int kIsaCount = 5;

const char* name_of(Isa isa);
bool has(Isa isa);       // whether this build contains code for it and this machine can run that
Isa current_isa();       // what the entropy coder and the networks use when they are started next
void set_isa(Isa isa);   // for the whole process, in tests and benchmarks; throws invalid_argument unless has(isa)

}  // namespace aec
