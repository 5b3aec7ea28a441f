// What the bind*.cpp share. They alone know Python: they check arguments, let go of the GIL and turn faults into
// exceptions.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>

namespace aec {

namespace py = pybind11;

template <class T>
using Array = py::array_t<T, 0>;

template <class T>
const T* vector_of(const Array<T>& array, const char* name, py::ssize_t n) {
    if (array.ndim() != 1 || !(array.flags() & py::array::c_style))
        throw py::value_error(std::string(name) + " must be one-dimensional and contiguous");
    if (array.size() != n)
        throw py::value_error(std::string(name) + " has " + std::to_string(array.size()) + " elements, expected " +
                              std::to_string(n));
    return array.data();
}

template <class T>
T* writable_vector_of(Array<T>& array, const char* name, py::ssize_t n) {
    vector_of(array, name, n);
    return array.mutable_data();  // ValueError if read-only
}

void bind_nets(py::module_& m);
void bind_nets_cuda(py::module_& m);  // only with AEC_WITH_CUDA

}  // namespace aec
