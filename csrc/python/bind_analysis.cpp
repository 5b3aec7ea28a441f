#include <algorithm>
#include <array>
#include <vector>

#include "base/range.h"
#include "engine/analysis.h"
#include "engine/projection.h"
#include "python/bind.h"
#include "python/qualities.h"
#include "python/tensors.h"

namespace aec {
namespace {

constexpr int kMaxLatents = 1 << 12;  // rows or columns of latents in a picture: 65536 pixels a side

std::shared_ptr<Analysis> analysis_from(const std::map<std::string, py::array>& arrays, int latents, int wide8,
                                        int blocks8, int wide16, int blocks16) {
    const Tensors tensors = tensors_of(arrays);
    const WithoutGil released;
    return std::make_shared<Analysis>(TransformConfig{latents, wide8, blocks8, wide16, blocks16}, tensors);
}

std::shared_ptr<HyperAnalysis> hyper_analysis_from(const std::map<std::string, py::array>& arrays, int latents,
                                                   int context, int hyper) {
    const Tensors tensors = tensors_of(arrays);
    const WithoutGil released;
    return std::make_shared<HyperAnalysis>(latents, context, hyper, tensors);
}

std::shared_ptr<Projection> projection_from(const std::map<std::string, py::array>& arrays, int latents) {
    const Tensors tensors = tensors_of(arrays);
    const WithoutGil released;
    return std::make_shared<Projection>(latents, tensors);
}

// Throws invalid_argument unless the array is contiguous and has this shape.
void check_shape(const Array<int16_t>& array, const char* name, const std::vector<py::ssize_t>& shape) {
    if (array.ndim() != static_cast<py::ssize_t>(shape.size()) || !std::equal(shape.begin(), shape.end(), array.shape()))
        throw std::invalid_argument(std::string(name) + " has shape " +
                                    text_of({array.shape(), array.shape() + array.ndim()}) +
                                    ", must have " + text_of({shape.begin(), shape.end()}));
    if (!(array.flags() & py::array::c_style)) throw std::invalid_argument(std::string(name) + " must be contiguous");
    check_aligned(array, name);
}

// Throws invalid_argument unless all values lie in -largest..largest. read_conv has proved only for these that no
// accumulator overflows.
void check_magnitudes(const Array<int16_t>& array, const char* name, int largest) {
    for (const int16_t* p = array.data(); p != array.data() + array.size(); ++p)
        if (*p > largest || *p < -largest)
            throw std::invalid_argument(std::string(name) + " have " + std::to_string(*p) + ": magnitudes up to " +
                                        std::to_string(largest) + " are allowed");
}

Array<int16_t> latents_of(const Analysis& analysis, const Array<int16_t>& pixels, std::pair<int, int> at,
                          std::pair<int, int> picture_size, const py::object& quality, const std::array<int, 4>& area, int threads) {
    const Analysis::Picture picture = {in_range(picture_size.first, 1, kMaxLatents, "rows"),
                                       in_range(picture_size.second, 1, kMaxLatents, "columns"),
                                       qualities_of(quality, picture_size.first, picture_size.second)};
    if (pixels.ndim() != 3 || pixels.shape(0) % kLatentStride != 0 || pixels.shape(1) % kLatentStride != 0 ||
        pixels.shape(0) > kMaxLatents * kLatentStride || pixels.shape(1) > kMaxLatents * kLatentStride)
        throw std::invalid_argument("pixels must be [rows, columns, 3], rows and columns multiples of 16");
    check_shape(pixels, "pixels", {pixels.shape(0), pixels.shape(1), 3});
    check_magnitudes(pixels, "pixels", kLargestPixel);
    const int y = in_range(at.first, 0, kMaxLatents, "at"), x = in_range(at.second, 0, kMaxLatents, "at");
    const Analysis::Pixels view = {{y, y + static_cast<int>(pixels.shape(0)) / kLatentStride, x,
                                    x + static_cast<int>(pixels.shape(1)) / kLatentStride},
                                   pixels.data(),
                                   pixels.shape(1) * 3};
    for (const int side : area) in_range(side, 0, kMaxLatents, "area");
    const Rect rect = {area[0], area[0] + area[2], area[1], area[1] + area[3]};
    in_range(threads, 1, 1 << 16, "threads");
    Array<int16_t> out({rect.rows(), rect.columns(), analysis.latents()});
    int16_t* const data = out.mutable_data();
    const WithoutGil released;
    analysis.run(picture, view, rect, data, threads);
    return out;
}

Array<int16_t> hyperlatents_of(const HyperAnalysis& analysis, const Array<int16_t>& latents, const py::object& quality, int threads) {
    in_range(threads, 1, 1 << 16, "threads");
    if (latents.ndim() != 3 || latents.shape(0) < 1 || latents.shape(1) < 1 || latents.shape(0) % kHyperStride != 0 ||
        latents.shape(1) % kHyperStride != 0 || latents.shape(0) > kMaxLatents || latents.shape(1) > kMaxLatents)
        throw std::invalid_argument("latents must be [rows, columns, channels], rows and columns multiples of 4");
    check_shape(latents, "latents", {latents.shape(0), latents.shape(1), analysis.latents()});
    const int rows = static_cast<int>(latents.shape(0)) / kHyperStride;
    const int columns = static_cast<int>(latents.shape(1)) / kHyperStride;
    const Qualities qualities = qualities_of(quality, kHyperStride * rows, kHyperStride * columns);
    Array<int16_t> out({rows, columns, analysis.hyper()});
    int16_t* const data = out.mutable_data();
    const WithoutGil released;
    analysis.run(rows, columns, qualities, latents.data(), data, threads);
    return out;
}

Array<int16_t> projected(const Projection& projection, const Array<int16_t>& errors, int threads) {
    in_range(threads, 1, 1 << 16, "threads");
    if (errors.ndim() != 3 || errors.shape(0) % kLatentStride != 0 || errors.shape(1) % kLatentStride != 0 ||
        errors.shape(0) > kMaxLatents * kLatentStride || errors.shape(1) > kMaxLatents * kLatentStride)
        throw std::invalid_argument("errors must be [rows, columns, 3], rows and columns multiples of 16");
    check_shape(errors, "errors", {errors.shape(0), errors.shape(1), 3});
    const int rows = static_cast<int>(errors.shape(0)) / kLatentStride;
    const int columns = static_cast<int>(errors.shape(1)) / kLatentStride;
    check_magnitudes(errors, "errors", Projection::kLargestError);
    Array<int16_t> out({rows, columns, projection.latents()});
    int16_t* const data = out.mutable_data();
    const WithoutGil released;
    projection.run(rows, columns, errors.data(), data, threads);
    return out;
}

}  // namespace

void bind_analysis(py::module_& m) {
    py::class_<Analysis, std::shared_ptr<Analysis>>(m, "Analysis")
        .def("__init__", made_by(&analysis_from), kConstructor, py::arg("tensors"), py::kw_only(),
             py::arg("latents"), py::arg("wide8"),
             py::arg("blocks8"), py::arg("wide16"), py::arg("blocks16"))
        .def("run", &latents_of, py::arg("pixels").noconvert(), py::kw_only(), py::arg("at"), py::arg("picture"),
             py::arg("quality"), py::arg("area"), py::arg("threads") = 1);
    py::class_<HyperAnalysis, std::shared_ptr<HyperAnalysis>>(m, "HyperAnalysis")
        .def("__init__", made_by(&hyper_analysis_from), kConstructor, py::arg("tensors"), py::kw_only(),
             py::arg("latents"), py::arg("context"),
             py::arg("hyper"))
        .def("run", &hyperlatents_of, py::arg("latents").noconvert(), py::kw_only(), py::arg("quality"),
             py::arg("threads") = 1);
    py::class_<Projection, std::shared_ptr<Projection>>(m, "Projection")
        .def("__init__", made_by(&projection_from), kConstructor, py::arg("tensors"), py::kw_only(), py::arg("latents"))
        .def("run", &projected, py::arg("errors").noconvert(), py::kw_only(), py::arg("threads") = 1);
}

}  // namespace aec
