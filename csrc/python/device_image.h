// What the bindings of networks on the GPU share.
#pragma once

#include "engine/image.h"
#include "python/bind.h"

namespace aec {

// What is to be made, with the image that it refers to.
template <class Image, class Cuda>
struct Made {
    std::shared_ptr<const Image> image;
    Cuda made;
};

template <class Image>
Array<uint8_t> bytes_of(const Image& image) {
    return Array<uint8_t>(static_cast<py::ssize_t>(image.bytes.size()), image.bytes.data());
}

// Binds a TransformImage.
template <class Image, class Transform>
auto bind_image(py::module_& m, const char* name) {
    return py::class_<Image, std::shared_ptr<Image>>(m, name)
        .def(py::init<std::shared_ptr<const Transform>>(), py::arg("transform").none(false))
        .def_property_readonly("fits", [](const Image& image) { return fits(image); })
        .def("bytes", &bytes_of<Image>);
}

}  // namespace aec
