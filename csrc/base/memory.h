// Where buffers come from: the functions of the caller, in calls of the C interface that were given some, or else
// operator new. What grows with a picture, a file or a model lies in a Vector, a Buffer or a ByteString; small objects
// and texts do not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <type_traits>
#include <vector>

namespace aec {

// The caller's functions, which threads call at once. allocate returns memory that is aligned as malloc's, or null.
struct Memory {
    void* (*allocate)(void* user, size_t size);
    void (*release)(void* user, void* memory);
    void* user;
};

// That of the call that this thread works for; null: operator new. Containers keep the one that they were made with.
inline thread_local const Memory* current_memory = nullptr;

class MemoryScope {
public:
    explicit MemoryScope(const Memory* memory) : before_(current_memory) { current_memory = memory; }
    ~MemoryScope() { current_memory = before_; }
    MemoryScope(const MemoryScope&) = delete;
    MemoryScope& operator=(const MemoryScope&) = delete;

private:
    const Memory* const before_;
};

inline void* allocated(const Memory& memory, size_t size) {
    void* const found = memory.allocate(memory.user, size);
    if (found == nullptr) throw std::bad_alloc();
    return found;
}

template <class T>
class Allocator {
public:
    using value_type = T;
    using propagate_on_container_move_assignment = std::true_type;
    using propagate_on_container_swap = std::true_type;

    Allocator() : memory_(current_memory) {}
    template <class U>
    Allocator(const Allocator<U>& other) : memory_(other.memory()) {}  // as the standard has it, not explicit

    T* allocate(size_t n) {
        static_assert(alignof(T) <= alignof(std::max_align_t));
        if (n > SIZE_MAX / sizeof(T)) throw std::bad_array_new_length();
        return static_cast<T*>(memory_ == nullptr ? operator new(n * sizeof(T)) : allocated(*memory_, n * sizeof(T)));
    }
    void deallocate(T* p, size_t) {
        if (memory_ == nullptr)
            operator delete(p);
        else
            memory_->release(memory_->user, p);
    }
    Allocator select_on_container_copy_construction() const { return {}; }  // a copy is of the call that makes it

    const Memory* memory() const { return memory_; }
    template <class U>
    bool operator==(const Allocator<U>& other) const {
        return memory_ == other.memory();
    }
    template <class U>
    bool operator!=(const Allocator<U>& other) const {
        return memory_ != other.memory();
    }

private:
    const Memory* memory_;
};

#ifdef __EMSCRIPTEN__  // a module for browsers has one heap, and is to be small
template <class T>
using Vector = std::vector<T>;
using ByteString = std::string;
#else
template <class T>
using Vector = std::vector<T, Allocator<T>>;

// Bytes that a coder has made.
using ByteString = std::basic_string<char, std::char_traits<char>, Allocator<char>>;
#endif

}  // namespace aec
