#include "python/synthesis_arguments.h"
#include "python/tensors.h"

namespace aec {
namespace {

std::shared_ptr<Synthesis> synthesis_from(const std::map<std::string, py::array>& arrays, int latents, int wide8,
                                          int blocks8, int wide16, int blocks16) {
    const Tensors tensors = tensors_of(arrays);
    const WithoutGil released;
    return std::make_shared<Synthesis>(TransformConfig{latents, wide8, blocks8, wide16, blocks16}, tensors);
}

// The distance between the rows of an array [rows][columns][channels], in elements. Throws invalid_argument unless
// the array has this shape and each row is contiguous.
template <class T>
ptrdiff_t row_stride_of(const Array<T>& array, const char* name, py::ssize_t channels) {
    constexpr py::ssize_t kSize = sizeof(T);
    if (array.ndim() != 3 || array.shape(2) != channels)
        throw std::invalid_argument(std::string(name) + " must be [rows, columns, " + std::to_string(channels) + "]");
    if ((array.shape(2) > 1 && array.strides(2) != kSize) ||
        (array.shape(1) > 1 && array.strides(1) != channels * kSize) || array.strides(0) % kSize != 0)
        throw std::invalid_argument(std::string(name) + " must be contiguous but for its rows");
    if (array.shape(0) > kMaxSamples || array.shape(1) > kMaxSamples)
        throw std::invalid_argument(std::string(name) + " is larger than any picture");
    check_aligned(array, name);
    return array.strides(0) / kSize;
}

template <class Sample>
void run(const Synthesis& synthesis, const Synthesis::Picture& picture, const Synthesis::Latents& latents, int y, int x,
         Array<Sample>& out, int threads) {
    const ptrdiff_t row_stride = row_stride_of(out, "out", picture.gray ? 1 : 3);
    Sample* const data = out.mutable_data();  // ValueError if read-only
    in_range(y, 0, kMaxSamples, "origin");
    in_range(x, 0, kMaxSamples, "origin");
    const Rect area = {y, y + static_cast<int>(out.shape(0)), x, x + static_cast<int>(out.shape(1))};
    const WithoutGil released;
    synthesis.run(picture, latents, area, data, row_stride, threads);
}

void synthesise(const Synthesis& synthesis, int channels, const Array<int16_t>& latents, std::pair<int, int> at,
                std::pair<int, int> picture_size, const py::object& quality, int shrink, bool branch, std::pair<int, int> origin,
                py::array& out, int threads) {
    const Synthesis::Picture picture =
        picture_of(picture_size, quality, shrink, branch, out.ndim() == 3 && out.shape(2) == 1);
    const ptrdiff_t row_stride = row_stride_of(latents, "latents", channels);
    const int y = in_range(at.first, 0, kMaxLatents, "at"), x = in_range(at.second, 0, kMaxLatents, "at");
    const Synthesis::Latents view = {{y, y + static_cast<int>(latents.shape(0)), x, x + static_cast<int>(latents.shape(1))},
                                     latents.data(),
                                     row_stride};
    in_range(threads, 1, 1 << 16, "threads");
    if (py::isinstance<Array<uint8_t>>(out)) {
        auto samples = py::reinterpret_borrow<Array<uint8_t>>(out);
        run(synthesis, picture, view, origin.first, origin.second, samples, threads);
    } else if (py::isinstance<Array<uint16_t>>(out)) {
        auto samples = py::reinterpret_borrow<Array<uint16_t>>(out);
        run(synthesis, picture, view, origin.first, origin.second, samples, threads);
    } else {
        throw std::invalid_argument("out must be uint8 or uint16");
    }
}

}  // namespace

void bind_synthesis(py::module_& m) {
    py::class_<Synthesis, std::shared_ptr<Synthesis>>(m, "Synthesis")
        .def("__init__", made_by(&synthesis_from), kConstructor, py::arg("tensors"), py::kw_only(),
             py::arg("latents"), py::arg("wide8"),
             py::arg("blocks8"), py::arg("wide16"), py::arg("blocks16"))
        .def(
            "run",
            [](const Synthesis& self, const Array<int16_t>& latents, std::pair<int, int> at, std::pair<int, int> picture,
               const py::object& quality, int shrink, bool branch, std::pair<int, int> origin, py::array& out, int threads) {
                synthesise(self, self.latents(), latents, at, picture, quality, shrink, branch, origin, out, threads);
            },
            py::arg("latents").noconvert(), py::kw_only(), py::arg("at"), py::arg("picture"), py::arg("quality"),
            py::arg("shrink"), py::arg("branch"), py::arg("origin"), py::arg("out"), py::arg("threads") = 1);
}

}  // namespace aec
