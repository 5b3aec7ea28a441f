// Memory for vectors.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace aec {

// Aligned for vectors, not initialised.
template <class T>
class Buffer {
public:
    Buffer() = default;
    explicit Buffer(size_t n) : data_(static_cast<T*>(operator new[](n * sizeof(T), kAlignment))) {}
    T* get() const { return data_.get(); }

private:
    static constexpr std::align_val_t kAlignment{64};
    struct Free {
        void operator()(T* p) const { operator delete[](p, kAlignment); }
    };
    std::unique_ptr<T, Free> data_;
};

}  // namespace aec
