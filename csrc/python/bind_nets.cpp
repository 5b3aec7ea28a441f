#include "engine/nets_cpu.h"
#include "python/bind.h"
#include "python/qualities.h"
#include "python/tensors.h"

namespace aec {
namespace {

std::shared_ptr<Nets> nets_from(const std::map<std::string, py::array>& arrays, int latents, int hyper, int context,
                                int steps) {
    const Tensors tensors = tensors_of(arrays);
    const WithoutGil released;
    return std::make_shared<Nets>(NetsConfig{latents, hyper, context, steps}, tensors);
}

std::unique_ptr<Walk> walk_from(std::shared_ptr<Nets> nets, const py::object& quality, int height, int width, int threads,
                                const std::vector<bool>& first) {
    return std::make_unique<Walk>(std::move(nets), qualities_of(quality, height, width), height, width, threads, first);
}

void predict(Walk& walk, int k, Array<uint8_t>& indexes) {
    uint8_t* out = writable_vector_of(indexes, "indexes", walk.segment_size(k));
    const WithoutGil released;
    walk.predict(k, out);
}

void choose(Walk& walk, int k, const Array<int16_t>& values, const Array<int16_t>& dead_zones,
            Array<int16_t>& symbols) {
    int16_t* out = writable_vector_of(symbols, "symbols", walk.segment_size(k));
    if (values.ndim() != 3 || values.shape(0) != walk.height(k) || values.shape(1) != walk.width(k) ||
        values.shape(2) != walk.channels(k))
        throw std::invalid_argument("values have shape " + text_of({values.shape(), values.shape() + values.ndim()}) +
                                    ", must have " + text_of({walk.height(k), walk.width(k), walk.channels(k)}));
    if (!(values.flags() & py::array::c_style)) throw std::invalid_argument("values must be contiguous");
    check_aligned(values, "values");
    const int16_t* zones = vector_of(dead_zones, "dead_zones", kIndexCount);
    const WithoutGil released;
    walk.choose(k, values.data(), zones, out);
}

void accept(Walk& walk, int k, const Array<int16_t>& symbols) {
    const int16_t* in = vector_of(symbols, "symbols", walk.segment_size(k));
    const WithoutGil released;
    walk.accept(k, in);
}

Array<int16_t> latents(const Walk& walk) {
    Array<int16_t> out({walk.height(1), walk.width(1), walk.channels(1)});
    int16_t* data = out.mutable_data();
    const WithoutGil released;
    walk.latents(data);
    return out;
}

}  // namespace

void bind_nets(py::module_& m) {
    py::class_<Nets, std::shared_ptr<Nets>>(m, "Nets")
        .def("__init__", made_by(&nets_from), kConstructor, py::arg("tensors"), py::kw_only(),
             py::arg("latents"), py::arg("hyper"),
             py::arg("context"), py::arg("steps"));
    py::class_<Walk>(m, "Walk")
        .def("__init__", made_by(&walk_from), kConstructor, py::arg("nets").none(false), py::arg("quality"),
             py::arg("height"), py::arg("width"), py::arg("threads") = 1,
             py::arg("first") = std::vector<bool>())
        .def_property_readonly("segments", &Walk::segments)
        .def("segment_size", &Walk::segment_size, py::arg("k"))
        .def("predict", &predict, py::arg("k"), py::arg("indexes").noconvert())
        .def("choose", &choose, py::arg("k"), py::arg("values").noconvert(), py::arg("dead_zones").noconvert(),
             py::arg("symbols").noconvert())
        .def("accept", &accept, py::arg("k"), py::arg("symbols").noconvert())
        .def("latents", &latents);
    m.def(
        "multiply_add_loop",
        [](uint64_t rounds) {
            const Kernels& kernels = kernels_of(current_isa());
            return kernels.multiply_add ? kernels.multiply_add(rounds) : 0;
        },
        py::arg("rounds"), py::call_guard<WithoutGil>());
}

}  // namespace aec
