// Heap memory that SIMD code can load from and store to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace aec {

// n elements, not initialised, aligned to 64 bytes: a cache line, and the width of an AVX-512 register.
template <class T>
class Buffer {
public:
    Buffer() = default;
    explicit Buffer(size_t n) : data_(static_cast<T*>(operator new[](bytes_of(n), kAlignment))) {}
    T* get() const { return data_.get(); }

private:
    static constexpr std::align_val_t kAlignment{64};
    static size_t bytes_of(size_t n) {
        if (n > SIZE_MAX / sizeof(T)) throw std::bad_array_new_length();
        return n * sizeof(T);
    }
    struct Free {
        void operator()(T* p) const { operator delete[](p, kAlignment); }
    };
    std::unique_ptr<T, Free> data_;
};

}  // namespace aec
