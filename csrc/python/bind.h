// Helpers for the bind_*.cpp files, which are the only part of csrc that knows Python. A binding checks its arguments,
// releases the GIL while it computes, and turns a Fault into an exception.
//
// The bindings of networks on a GPU keep the GIL: bind_nets_cuda.cpp, bind_analysis_cuda.cpp, bind_synthesis_cuda.cpp.
// run_kernel first sets a kernel's limit of shared memory, which depends on the model, and then launches it; without the
// GIL another thread with another model could lower the limit in between.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "base/status.h"
#include "base/stop.h"

namespace aec {

namespace py = pybind11;

template <class T>
using Array = py::array_t<T, 0>;

template <class T>
void check_aligned(const Array<T>& array, const char* name) {
    if (reinterpret_cast<uintptr_t>(array.data()) % alignof(T) != 0)
        throw std::invalid_argument(std::string(name) + " is not aligned");
}

template <class T>
const T* vector_of(const Array<T>& array, const char* name, py::ssize_t n) {
    if (array.ndim() != 1 || !(array.flags() & py::array::c_style))
        throw std::invalid_argument(std::string(name) + " must be one-dimensional and contiguous");
    if (array.size() != n)
        throw std::invalid_argument(std::string(name) + " has " + std::to_string(array.size()) +
                                    " elements, expected " + std::to_string(n));
    check_aligned(array, name);
    return array.data();
}

template <class T>
T* writable_vector_of(Array<T>& array, const char* name, py::ssize_t n) {
    vector_of(array, name, n);
    return array.mutable_data();  // ValueError if read-only
}

struct CorruptPayload : std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline void raise(const Fault& fault) {
    if (!fault) return;
    const bool corrupt = is_corruption(fault.status);
    const std::string where = (corrupt ? "stream " : "position ") + std::to_string(fault.at);
    const std::string message = where + ": " + describe(fault.status) + " (found " + std::to_string(fault.found) + ")";
    if (corrupt) throw CorruptPayload(message);
    throw std::invalid_argument(message);
}

// A view of any contiguous bytes-like Python object. It holds the object's buffer until it is destroyed.
class Bytes {
public:
    explicit Bytes(const py::object& object) {
        if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) != 0) throw py::error_already_set();
    }
    ~Bytes() { PyBuffer_Release(&view_); }
    Bytes(const Bytes&) = delete;
    Bytes& operator=(const Bytes&) = delete;
    const uint8_t* data() const { return static_cast<const uint8_t*>(view_.buf); }
    size_t size() const { return view_.len; }

private:
    Py_buffer view_;
};

// Ends a computation without the GIL if Ctrl-C was pressed or a StopFlag was set (bind_stop.cpp).
void check_python();

// Releases the GIL while it lives, and lets check_stop look for Ctrl-C. pybind11's class for that ends the process if
// Python ends while a thread of it computes: until Python 3.13, who asks for the GIL then has its thread unwound, and
// pybind11 asks in a destructor that must not throw. Here such a thread waits for the end of the process, as it does from
// Python 3.14 on.
class WithoutGil {
public:
    WithoutGil() : state_(PyEval_SaveThread()) {}
    ~WithoutGil() {
        try {
            PyEval_RestoreThread(state_);
        } catch (...) {
            for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
        }
    }
    WithoutGil(const WithoutGil&) = delete;
    WithoutGil& operator=(const WithoutGil&) = delete;

private:
    PyThreadState* state_;
    const CheckScope scope_{&check_python};
};

// What a class has for Python's __init__: `.def("__init__", made_by(&factory), kConstructor, ..)`. The factory returns a
// unique_ptr or shared_ptr. py::init does the same, but if there is no memory to register the new object, it leaves a
// pointer behind to what the unwinding deletes, and Python deletes that again (pybind11 3.1).
template <class Holder, class... Args>
auto made_by(Holder (*factory)(Args...)) {
    return [factory](py::detail::value_and_holder& self, Args... args) {
        Holder made = factory(std::forward<Args>(args)...);
        self.value_ptr() = made.get();
        try {
            self.type->init_instance(self.inst, &made);
        } catch (...) {
            self.value_ptr() = nullptr;
            throw;
        }
    };
}

constexpr py::detail::is_new_style_constructor kConstructor{};

// Python passes addresses in device memory as integers, which it gets from tensor.data_ptr().
template <class T>
T* pointer(uintptr_t address) {
    return reinterpret_cast<T*>(address);
}

void bind_stop(py::module_& m);
void bind_nets(py::module_& m);
void bind_analysis(py::module_& m);
void bind_synthesis(py::module_& m);
void bind_encode(py::module_& m);
void bind_lossless(py::module_& m);
void bind_model(py::module_& m);
void bind_decode_tile(py::module_& m);
void bind_cuda(py::module_& m);  // this and the following are only defined with AEC_WITH_CUDA
void bind_nets_cuda(py::module_& m);
void bind_analysis_cuda(py::module_& m);
void bind_synthesis_cuda(py::module_& m);

}  // namespace aec
