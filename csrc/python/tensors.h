// Converts the numpy arrays of a model file to Tensors (engine/pack.h). These point into the arrays, which must outlive
// them.
#pragma once

#include <map>

#include "engine/pack.h"
#include "python/bind.h"

namespace aec {

inline Tensor tensor_of(const py::array& array, const std::string& name) {
    if (!(array.flags() & py::array::c_style)) throw std::invalid_argument(name + " must be contiguous");
    Tensor tensor = {Tensor::kInt16, {array.shape(), array.shape() + array.ndim()}, array.data()};
    if (py::isinstance<Array<int32_t>>(array))
        tensor.type = Tensor::kInt32;
    else if (py::isinstance<Array<uint8_t>>(array))
        tensor.type = Tensor::kUint8;
    else if (!py::isinstance<Array<int16_t>>(array))
        throw std::invalid_argument(name + " must be int16, int32 or uint8");
    if (reinterpret_cast<uintptr_t>(array.data()) % array.itemsize() != 0)
        throw std::invalid_argument(name + " is not aligned");
    return tensor;
}

inline Tensors tensors_of(const std::map<std::string, py::array>& arrays) {
    Tensors tensors;
    for (const auto& [name, array] : arrays) tensors[name] = tensor_of(array, name);
    return tensors;
}

}  // namespace aec
