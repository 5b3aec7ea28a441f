// An encoder's transforms on the GPU. Only codec/coding/analysis_cuda.py uses this binding, and it checks the types,
// sizes and devices of the tensors whose addresses it passes. It keeps the GIL, as bind.h says.
#ifdef AEC_WITH_CUDA
#include <array>

#include "base/range.h"
#include "engine/analysis_cuda.h"
#include "python/device_image.h"
#include "python/qualities.h"

namespace aec {
namespace {

constexpr int kMaxLatents = 1 << 12;  // rows or columns of latents in a picture

using MadeAnalysis = Made<AnalysisImage, CudaAnalysis>;
using MadeHyperAnalysis = Made<HyperAnalysisImage, CudaHyperAnalysis>;

template <class Image>
void check_fits(const Image& image) {
    if (!fits(image)) throw std::invalid_argument("the analysis is too wide for shared memory");
}

Rect rect_of(const std::array<int, 4>& box, const char* name) {
    for (const int side : box) in_range(side, 0, kMaxLatents, name);
    return {box[0], box[0] + box[2], box[1], box[1] + box[3]};
}

std::unique_ptr<MadeAnalysis> analysis_of(std::shared_ptr<const AnalysisImage> image, const std::array<int, 4>& given,
                                          std::pair<int, int> picture, const py::object& quality,
                                          const std::array<int, 4>& area) {
    check_fits(*image);
    const int rows = in_range(picture.first, 1, kMaxLatents, "rows");
    const int columns = in_range(picture.second, 1, kMaxLatents, "columns");
    const CudaAnalysis made = {*image, {rows, columns, qualities_of(quality, rows, columns)}, rect_of(given, "given"),
                               rect_of(area, "area")};
    workspace_bytes(made);  // which checks them
    return std::make_unique<MadeAnalysis>(MadeAnalysis{std::move(image), made});
}

std::unique_ptr<MadeHyperAnalysis> hyper_analysis_of(std::shared_ptr<const HyperAnalysisImage> image, int rows,
                                                     int columns, const py::object& quality) {
    check_fits(*image);
    in_range(rows, 1, kMaxLatents / kHyperStride, "rows");
    in_range(columns, 1, kMaxLatents / kHyperStride, "columns");
    const CudaHyperAnalysis made = {*image, rows, columns,
                                    qualities_of(quality, kHyperStride * rows, kHyperStride * columns)};
    return std::make_unique<MadeHyperAnalysis>(MadeHyperAnalysis{std::move(image), made});
}

CudaAnalysisMemory memory_of(uintptr_t image, uintptr_t map, uintptr_t workspace, int64_t large) {
    return {pointer<uint8_t>(image), pointer<uint8_t>(map), pointer<uint8_t>(workspace), large};
}

}  // namespace

void bind_analysis_cuda(py::module_& m) {
    bind_image<AnalysisImage, Analysis>(m, "AnalysisImage")
        .def_property_readonly("latents", [](const AnalysisImage& image) { return image.transform->latents(); });
    bind_image<HyperAnalysisImage, HyperAnalysis>(m, "HyperAnalysisImage")
        .def_property_readonly("hyper", [](const HyperAnalysisImage& image) { return image.transform->hyper(); });
    py::class_<MadeAnalysis>(m, "CudaAnalysis")
        .def("__init__", made_by(&analysis_of), kConstructor, py::arg("image").none(false), py::kw_only(),
             py::arg("given"), py::arg("picture"), py::arg("quality"), py::arg("area"))
        .def_property_readonly("workspace_bytes", [](const MadeAnalysis& self) { return workspace_bytes(self.made); })
        .def(
            "run",
            [](const MadeAnalysis& self, uintptr_t image, uintptr_t map, uintptr_t workspace, int64_t large,
               uintptr_t pixels, uintptr_t out, int device, uintptr_t stream) {
                analyse_cuda(self.made, memory_of(image, map, workspace, large), pointer<int16_t>(pixels),
                             pointer<int16_t>(out), {device, stream});
            },
            py::kw_only(), py::arg("image"), py::arg("map"), py::arg("workspace"), py::arg("large"), py::arg("pixels"),
            py::arg("out"), py::arg("device"), py::arg("stream"));
    py::class_<MadeHyperAnalysis>(m, "CudaHyperAnalysis")
        .def("__init__", made_by(&hyper_analysis_of), kConstructor, py::arg("image").none(false), py::kw_only(),
             py::arg("rows"), py::arg("columns"), py::arg("quality"))
        .def_property_readonly("workspace_bytes",
                               [](const MadeHyperAnalysis& self) { return workspace_bytes(self.made); })
        .def_property_readonly("output",
                               [](const MadeHyperAnalysis& self) {
                                   const auto [offset, channels] = place_of(self.made);
                                   return std::make_pair(offset, channels);
                               })
        .def(
            "run",
            [](const MadeHyperAnalysis& self, uintptr_t image, uintptr_t map, uintptr_t workspace, int64_t large,
               uintptr_t latents, int channels, int device, uintptr_t stream) {
                analyse_cuda(self.made, memory_of(image, map, workspace, large), pointer<int16_t>(latents), channels,
                             {device, stream});
            },
            py::kw_only(), py::arg("image"), py::arg("map"), py::arg("workspace"), py::arg("large"), py::arg("latents"),
            py::arg("channels"), py::arg("device"), py::arg("stream"));
}

}  // namespace aec
#endif
