// The entropy networks on the GPU. Only codec/coding/segment_walk_cuda.py uses this binding, and it checks the types,
// sizes and devices of the tensors whose addresses it passes.
#ifdef AEC_WITH_CUDA
#include "engine/nets_cuda.h"
#include "python/device_image.h"

namespace aec {
namespace {

CudaWalk walk_of(const NetImage& image, int quality, int height, int width, int64_t large, uintptr_t image_on_device,
                 uintptr_t workspace, uintptr_t latents) {
    constexpr int kMaxSide = 1 << 12;  // the same as Walk::kMaxSide on the CPU
    if (quality < 1 || quality > kQualities || height < 1 || width < 1 || height > kMaxSide || width > kMaxSide)
        throw std::invalid_argument("quality, height or width is out of range");
    if (!fits(image.layout)) throw std::invalid_argument("the entropy nets are too wide for shared memory");
    return {image.layout, quality, height, width, large, pointer<uint8_t>(image_on_device),
            pointer<uint8_t>(workspace), pointer<float>(latents)};
}

void check_segment(const CudaWalk& walk, int k) {
    if (k < 0 || k > walk.layout.config.steps) throw std::invalid_argument("there is no segment " + std::to_string(k));
}

}  // namespace

void bind_nets_cuda(py::module_& m) {
    py::class_<NetImage>(m, "NetImage")
        .def(py::init<const Nets&>(), py::arg("nets"))
        .def_property_readonly("fits", [](const NetImage& image) { return fits(image.layout); })
        .def("bytes", &bytes_of<NetImage>)
        .def("workspace_bytes", [](const NetImage& image, int height, int width) {
            return workspace_bytes(image.layout, height, width);
        });
    py::class_<CudaWalk>(m, "CudaWalk")
        .def(py::init(&walk_of), py::arg("image"), py::arg("quality"), py::arg("height"), py::arg("width"),
             py::arg("large"), py::arg("image_on_device"), py::arg("workspace"), py::arg("latents"))
        .def("segment_size",
             [](const CudaWalk& walk, int k) {
                 check_segment(walk, k);
                 return segment_size(walk.layout.config, walk.height, walk.width, k);
             })
        .def("predict",
             [](const CudaWalk& walk, int k, uintptr_t indexes, int device, uintptr_t stream) {
                 check_segment(walk, k);
                 predict_cuda(walk, k, pointer<uint8_t>(indexes), {device, stream});
             })
        .def("choose",
             [](const CudaWalk& walk, int k, uintptr_t indexes, uintptr_t values,
                const std::tuple<int64_t, int64_t, int64_t>& strides, uintptr_t dead_zones, uintptr_t symbols,
                int device, uintptr_t stream) {
                 check_segment(walk, k);
                 const auto [channel, row, column] = strides;
                 choose_cuda(walk, k, pointer<uint8_t>(indexes), pointer<int16_t>(values), {channel, row, column},
                             pointer<int16_t>(dead_zones), pointer<int16_t>(symbols), {device, stream});
             })
        .def("accept", [](const CudaWalk& walk, int k, uintptr_t symbols, int device, uintptr_t stream) {
            check_segment(walk, k);
            accept_cuda(walk, k, pointer<int16_t>(symbols), {device, stream});
        });
}

}  // namespace aec
#endif
