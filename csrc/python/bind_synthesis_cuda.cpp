// The synthesis on the GPU. Only codec/coding/synthesis_cuda.py uses this binding, and it checks the types, sizes and
// devices of the tensors whose addresses it passes. It keeps the GIL, as bind.h says.
#ifdef AEC_WITH_CUDA
#include "engine/synthesis_cuda.h"
#include "python/device_image.h"
#include "python/synthesis_arguments.h"

namespace aec {
namespace {

using MadeSynthesis = Made<SynthesisImage, CudaSynthesis>;

std::unique_ptr<MadeSynthesis> synthesis_of(std::shared_ptr<const SynthesisImage> image, std::pair<int, int> at,
                                            std::pair<int, int> given, std::pair<int, int> picture,
                                            const py::object& quality, int shrink, bool branch,
                                            std::pair<int, int> origin, std::pair<int, int> size, bool gray) {
    if (!fits(*image)) throw std::invalid_argument("the synthesis is too wide for shared memory");
    const CudaSynthesis made = {*image, picture_of(picture, quality, shrink, branch, gray),
                                rect_of(at, given, kMaxLatents, "at"), rect_of(origin, size, kMaxSamples, "origin")};
    workspace_bytes(made);  // which checks them
    return std::make_unique<MadeSynthesis>(MadeSynthesis{std::move(image), made});
}

}  // namespace

void bind_synthesis_cuda(py::module_& m) {
    bind_image<SynthesisImage, Synthesis>(m, "SynthesisImage");
    py::class_<MadeSynthesis>(m, "CudaSynthesis")
        .def("__init__", made_by(&synthesis_of), kConstructor, py::arg("image").none(false), py::kw_only(), py::arg("at"),
             py::arg("given"), py::arg("picture"), py::arg("quality"), py::arg("shrink"), py::arg("branch"),
             py::arg("origin"), py::arg("size"), py::arg("gray"))
        .def_property_readonly("workspace_bytes", [](const MadeSynthesis& self) { return workspace_bytes(self.made); })
        .def(
            "run",
            [](const MadeSynthesis& self, uintptr_t image, uintptr_t map, uintptr_t latents, int channels, uintptr_t workspace,
               int64_t large, uintptr_t out, int depth, const std::tuple<int64_t, int64_t, int64_t>& strides, int device,
               uintptr_t stream) {
                const CudaSynthesisMemory memory = {pointer<uint8_t>(image), pointer<uint8_t>(map),
                                                    pointer<int16_t>(latents), channels, pointer<uint8_t>(workspace),
                                                    large};
                const auto [channel, row, column] = strides;
                const Strides by = {channel, row, column};
                if (depth == 8)
                    synthesise_cuda(self.made, memory, pointer<uint8_t>(out), by, {device, stream});
                else
                    synthesise_cuda(self.made, memory, pointer<uint16_t>(out), by, {device, stream});
            },
            py::kw_only(), py::arg("image"), py::arg("map"), py::arg("latents"), py::arg("channels"),
            py::arg("workspace"), py::arg("large"), py::arg("out"), py::arg("depth"), py::arg("strides"),
            py::arg("device"), py::arg("stream"));
}

}  // namespace aec
#endif
