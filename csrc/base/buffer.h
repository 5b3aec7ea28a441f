// Heap memory that SIMD code can load from and store to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/memory.h"

namespace aec {

// n elements, not initialised, aligned to 64 bytes: a cache line, and the width of an AVX-512 register.
template <class T>
class Buffer {
public:
    Buffer() = default;
    explicit Buffer(size_t n) : data_(allocate(n), Free{current_memory}) {}
    T* get() const { return data_.get(); }

private:
    static constexpr size_t kAlignment = 64;
    // Of the caller's memory more is taken, and where it begins is kept before the elements.
    static constexpr size_t kMore = kAlignment + sizeof(void*);

    static T* allocate(size_t n) {
        if (n > (SIZE_MAX - kMore) / sizeof(T)) throw std::bad_array_new_length();
        if (current_memory == nullptr)
            return static_cast<T*>(operator new[](n * sizeof(T), std::align_val_t{kAlignment}));
        void* const begin = allocated(*current_memory, n * sizeof(T) + kMore);
        const uintptr_t first = reinterpret_cast<uintptr_t>(begin) + kMore;
        void** const data = reinterpret_cast<void**>(first - first % kAlignment);
        data[-1] = begin;
        return reinterpret_cast<T*>(data);
    }
    struct Free {
        const Memory* memory = nullptr;
        void operator()(T* p) const {
            if (memory == nullptr)
                operator delete[](p, std::align_val_t{kAlignment});
            else
                memory->release(memory->user, reinterpret_cast<void**>(p)[-1]);
        }
    };
    std::unique_ptr<T, Free> data_;
};

}  // namespace aec
