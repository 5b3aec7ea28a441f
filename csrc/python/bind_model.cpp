// Model files as csrc/model reads and verifies them. Facts are given as plain Python values, so that a model is loaded
// without numpy, and while another thread imports it.
#include "model/encoder.h"
#include "model/model.h"
#include "python/bind.h"
#include "tile/perceived_error.h"

namespace aec {
namespace {

// What csrc/model throws, as Python's ValueError.
template <class Load>
auto loaded(Load load) {
    const WithoutGil released;
    try {
        return load();
    } catch (const Error& error) {
        throw std::invalid_argument(error.what());
    }
}

std::shared_ptr<Model> model_from(const py::object& file, int threads) {
    const Bytes bytes(file);
    return std::const_pointer_cast<Model>(loaded([&] { return Model::load({bytes.data(), bytes.size()}, threads); }));
}

std::shared_ptr<Encoder> encoder_from(const py::object& file, std::shared_ptr<Model> model, int threads) {
    const Bytes bytes(file);
    return std::const_pointer_cast<Encoder>(
        loaded([&] { return Encoder::load({bytes.data(), bytes.size()}, std::move(model), threads); }));
}

// The numbers of a model's table, as they lie in memory.
template <class Numbers>
py::bytes bytes_of(const Numbers& numbers) {
    return py::bytes(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof numbers[0]);
}

py::dict config_of(const Model& model) {
    const ModelConfig& c = model.config;
    py::dict config;
    config["latents"] = c.latents;
    config["hyper"] = c.hyper;
    config["wide8"] = c.wide8;
    config["blocks8"] = c.blocks8;
    config["wide16"] = c.wide16;
    config["blocks16"] = c.blocks16;
    config["context"] = c.context;
    config["steps"] = c.steps;
    return config;
}

// The engine's classes are bound without const: what Python can call of them changes nothing.
template <class T>
std::shared_ptr<T> shared(const std::shared_ptr<const T>& part) {
    return std::const_pointer_cast<T>(part);
}

}  // namespace

void bind_model(py::module_& m) {
    py::class_<Model, std::shared_ptr<Model>>(m, "Model")
        .def("__init__", made_by(&model_from), kConstructor, py::arg("file"), py::arg("threads") = 1)
        .def_property_readonly("config", &config_of)
        .def_property_readonly("id", [](const Model& self) { return bytes_of(self.id); })
        .def_property_readonly("tune", [](const Model& self) { return self.tune; })
        .def_property_readonly("levels", [](const Model& self) { return bytes_of(self.levels()); })
        .def_property_readonly("dead_zones", [](const Model& self) { return bytes_of(self.dead_zones); })
        .def_property_readonly("steps", [](const Model& self) { return bytes_of(self.nets->step); })
        .def_property_readonly("tables", [](const Model& self) { return shared(self.tables); })
        .def_property_readonly("nets", [](const Model& self) { return shared(self.nets); })
        .def_property_readonly("synthesis", [](const std::shared_ptr<Model>& self) {
            return shared(std::shared_ptr<const Synthesis>(self, self->synthesis.get()));
        });
    py::class_<Encoder, std::shared_ptr<Encoder>>(m, "Encoder")
        .def("__init__", made_by(&encoder_from), kConstructor, py::arg("file"), py::arg("model").none(false),
             py::arg("threads") = 1)
        .def_property_readonly("analysis", [](const Encoder& self) { return shared(self.parts.analysis); })
        .def_property_readonly("hyper_analysis", [](const Encoder& self) { return shared(self.parts.hyper_analysis); })
        .def_property_readonly("projection", [](const Encoder& self) { return shared(self.parts.projection); })
        .def(
            "parts",
            [](const Encoder& self, const std::string& tune) {
                auto parts = std::make_shared<EncoderModel>(self.parts);
                parts->tune = tune_of(tune);
                if (parts->tune == Tune::kEye) prepare_perceived_error();
                return parts;
            },
            py::arg("tune"));
}

}  // namespace aec
