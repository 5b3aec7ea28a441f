// A library for LD_PRELOAD that lets chosen allocations of aec's C++ code fail: of all that csrc and the standard
// library of C++ ask for, the n-th one, or the n-th and all that follow. Starting a thread counts as an allocation, since
// the system may refuse that too. What Python and numpy ask for is left alone: whether a call counts is decided by the
// library that its return address lies in. It also counts the objects of `new` that were not deleted, to find leaks.
//
// bench/promises/allocations.py compiles it and calls its functions by ctypes. It needs glibc.
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);
}

namespace {

struct Range {
    uintptr_t from, to;
};

constexpr int kMaxRanges = 64;
Range ranges[kMaxRanges];
std::atomic<int> n_ranges{0};
std::atomic<bool> armed{false}, all_after{false};
std::atomic<long> first{0}, counted{0}, failed{0}, live{0};

int add_ranges(dl_phdr_info* info, size_t, void*) {
    const char* name = info->dlpi_name;
    if (!std::strstr(name, "/codec/_C.") && !std::strstr(name, "libstdc++")) return 0;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const ElfW(Phdr)& part = info->dlpi_phdr[i];
        if (part.p_type != PT_LOAD || !(part.p_flags & PF_X) || n_ranges == kMaxRanges) continue;
        const uintptr_t from = info->dlpi_addr + part.p_vaddr;
        ranges[n_ranges++] = {from, from + part.p_memsz};
    }
    return 0;
}

bool fails(const void* caller) {
    if (!armed.load(std::memory_order_relaxed)) return false;
    const uintptr_t at = reinterpret_cast<uintptr_t>(caller);
    for (int i = 0; i < n_ranges; ++i)
        if (at >= ranges[i].from && at < ranges[i].to) {
            const long n = counted++;
            if (n != first && !(all_after && n > first)) return false;
            ++failed;
            return true;
        }
    return false;
}

void* counted_object(void* p) {
    if (p) ++live;
    return p;
}

void* plain(size_t n, const void* caller) { return fails(caller) ? nullptr : counted_object(__libc_malloc(n ? n : 1)); }

void* aligned(size_t n, std::align_val_t alignment, const void* caller) {
    return fails(caller) ? nullptr : counted_object(__libc_memalign(static_cast<size_t>(alignment), n ? n : 1));
}

void* or_throw(void* p) {
    if (!p) throw std::bad_alloc();
    return p;
}

void freed(void* p) {
    if (p) --live;
    __libc_free(p);
}

}  // namespace

#define CALLER __builtin_return_address(0)

extern "C" {

// From now on, the allocation number n, counted from 0, fails, and with `all` every one after it.
void failing_arm(long n, int all) {
    n_ranges = 0;
    dl_iterate_phdr(add_ranges, nullptr);
    first = n, all_after = all != 0, counted = 0, failed = 0;
    armed = true;
}

// Returns how many allocations there were since `failing_arm`.
long failing_disarm() {
    armed = false;
    return counted;
}

long failing_failed() { return failed; }
long failing_live() { return live; }

void* malloc(size_t n) { return fails(CALLER) ? nullptr : __libc_malloc(n); }
void* calloc(size_t n, size_t size) { return fails(CALLER) ? nullptr : __libc_calloc(n, size); }
void* realloc(void* p, size_t n) { return fails(CALLER) ? nullptr : __libc_realloc(p, n); }

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*), void* argument) {
    using Function = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
    static const auto real = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "pthread_create"));
    return fails(CALLER) ? EAGAIN : real(thread, attributes, start, argument);
}

}  // extern "C"

void* operator new(size_t n) { return or_throw(plain(n, CALLER)); }
void* operator new[](size_t n) { return or_throw(plain(n, CALLER)); }
void* operator new(size_t n, const std::nothrow_t&) noexcept { return plain(n, CALLER); }
void* operator new[](size_t n, const std::nothrow_t&) noexcept { return plain(n, CALLER); }
void* operator new(size_t n, std::align_val_t a) { return or_throw(aligned(n, a, CALLER)); }
void* operator new[](size_t n, std::align_val_t a) { return or_throw(aligned(n, a, CALLER)); }
void operator delete(void* p) noexcept { freed(p); }
void operator delete[](void* p) noexcept { freed(p); }
void operator delete(void* p, size_t) noexcept { freed(p); }
void operator delete[](void* p, size_t) noexcept { freed(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { freed(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { freed(p); }
void operator delete(void* p, std::align_val_t) noexcept { freed(p); }
void operator delete[](void* p, std::align_val_t) noexcept { freed(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { freed(p); }
void operator delete[](void* p, size_t, std::align_val_t) noexcept { freed(p); }
