#include <mutex>

#include "base/range.h"
#include "python/bind.h"
#include "python/qualities.h"
#include "tile/encode_tile.h"

namespace aec {
namespace {

constexpr int kMaxSide = 65535;

int side_of(py::ssize_t n, const char* name) {
    if (n < 1 || n > kMaxSide)
        throw std::invalid_argument(std::string(name) + " is " + std::to_string(n) + ", allowed are 1 to " +
                                    std::to_string(kMaxSide));
    return static_cast<int>(n);
}

// A view of arrays of any strides: data [height, width, 1 or 3], uint8 or uint16; alpha None or [height, width].
SampleView samples_of(const py::array& data, const py::object& alpha) {
    const bool is_deep = py::isinstance<Array<uint16_t>>(data);
    if (!is_deep && !py::isinstance<Array<uint8_t>>(data)) throw py::type_error("samples must be uint8 or uint16");
    if (data.ndim() != 3 || (data.shape(2) != 1 && data.shape(2) != 3))
        throw std::invalid_argument("samples have shape " + text_of({data.shape(), data.shape() + data.ndim()}) +
                                    ", must have [height, width, 1 or 3]");
    SampleView samples = {side_of(data.shape(1), "width"),
                       side_of(data.shape(0), "height"),
                       static_cast<int>(data.shape(2)),
                       is_deep ? 16 : 8,
                       static_cast<const uint8_t*>(data.data()),
                       data.strides(0),
                       data.strides(1),
                       data.strides(2)};
    if (alpha.is_none()) return samples;
    if (is_deep ? !py::isinstance<Array<uint16_t>>(alpha) : !py::isinstance<Array<uint8_t>>(alpha))
        throw py::type_error("alpha must be None or of the same type as the samples");
    const auto array = py::reinterpret_borrow<py::array>(alpha);
    if (array.ndim() != 2 || array.shape(0) != samples.height || array.shape(1) != samples.width)
        throw std::invalid_argument("alpha has shape " + text_of({array.shape(), array.shape() + array.ndim()}) +
                                    ", must have " + text_of({samples.height, samples.width}));
    samples.alpha = static_cast<const uint8_t*>(array.data());
    samples.alpha_row = array.strides(0);
    samples.alpha_column = array.strides(1);
    return samples;
}

// area: (x, y, width, height) in pixels. side: what its left and top are multiples of.
Rect rect_of(const std::array<int, 4>& area, const SampleView& samples, int side) {
    const int x = in_range(area[0], 0, samples.width - 1, "x"), y = in_range(area[1], 0, samples.height - 1, "y");
    if (x % side != 0 || y % side != 0)
        throw std::invalid_argument("x and y must be multiples of " + std::to_string(side));
    return {y, y + in_range(area[3], 1, samples.height - y, "height"), x,
            x + in_range(area[2], 1, samples.width - x, "width")};
}

Qualities whole_of(const py::object& quality, const SampleView& samples) {
    return qualities_of(quality, ceil_div(samples.height, kLatentStride), ceil_div(samples.width, kLatentStride));
}

int threads_of(int threads) { return in_range(threads, 1, 1 << 16, "threads"); }

template <class T>
Array<T> array_of(const Vector<T>& values, const std::vector<py::ssize_t>& shape) {
    Array<T> out(shape);
    std::copy(values.begin(), values.end(), out.mutable_data());
    return out;
}

// Latents of a tile: [rows, columns, channels], contiguous.
const int16_t* latents_from(const Array<int16_t>& array, const char* name, py::ssize_t channels) {
    if (array.ndim() != 3 || array.shape(2) != channels || !(array.flags() & py::array::c_style))
        throw std::invalid_argument(std::string(name) + " have shape " +
                                    text_of({array.shape(), array.shape() + array.ndim()}) +
                                    ", must have [rows, columns, " + std::to_string(channels) +
                                    "] and be contiguous");
    in_range(static_cast<int>(array.shape(0)), 1, Walk::kMaxSide, "rows");
    in_range(static_cast<int>(array.shape(1)), 1, Walk::kMaxSide, "columns");
    check_aligned(array, name);
    return array.data();
}

Choices choices_of(const Array<int16_t>& dead_zones, const std::vector<bool>& first) {
    Choices choices;
    std::copy_n(vector_of(dead_zones, "dead_zones", kIndexCount), kIndexCount, choices.dead_zones.begin());
    choices.first = first;
    return choices;
}

// Calls a Python function from code that runs without the GIL.
std::function<void()> called(const py::object& progress) {
    return [&progress] {
        const py::gil_scoped_acquire held;
        progress();
    };
}

Array<int16_t> latents(const EncoderModel& model, const py::array& data, const py::object& alpha,
                       const std::array<int, 4>& area, const py::object& quality, int threads) {
    const SampleView samples = samples_of(data, alpha);
    const Rect rect = rect_of(area, samples, kLatentStride);
    const Qualities whole = whole_of(quality, samples);
    threads_of(threads);
    Vector<int16_t> found;
    {
        const WithoutGil released;
        found = latents_of(model, samples, rect, whole, threads);
    }
    return array_of(found, {ceil_div(rect.rows(), kLatentStride), ceil_div(rect.columns(), kLatentStride),
                            model.analysis->latents()});
}

Array<int16_t> hyperlatents(const EncoderModel& model, const Array<int16_t>& y, const py::object& quality,
                            int threads) {
    const int16_t* values = latents_from(y, "latents", model.analysis->latents());
    const int rows = static_cast<int>(y.shape(0)), columns = static_cast<int>(y.shape(1));
    const Qualities qualities = qualities_of(quality, rows, columns);
    threads_of(threads);
    Vector<int16_t> found;
    {
        const WithoutGil released;
        found = hyperlatents_of(model, rows, columns, values, qualities, threads);
    }
    return array_of(found,
                    {ceil_div(rows, kHyperStride), ceil_div(columns, kHyperStride), model.hyper_analysis->hyper()});
}

py::tuple analyse(const EncoderModel& model, const py::array& data, const py::object& alpha,
                  const std::array<int, 4>& tile, const py::object& quality, int effort,
                  const Array<int16_t>& dead_zones, const std::vector<bool>& first, int threads,
                  const py::object& progress) {
    const SampleView samples = samples_of(data, alpha);
    const Rect rect = rect_of(tile, samples, kBlockSide);
    const Qualities whole = whole_of(quality, samples);
    const Choices choices = choices_of(dead_zones, first);
    threads_of(threads);
    TileLatents found;
    {
        const WithoutGil released;
        found = analyse_tile(model, samples, rect, whole, effort, choices, threads, called(progress));
    }
    return py::make_tuple(array_of(found.y, {ceil_div(rect.rows(), kLatentStride),
                                             ceil_div(rect.columns(), kLatentStride), model.analysis->latents()}),
                          array_of(found.z, {ceil_div(rect.rows(), kBlockSide), ceil_div(rect.columns(), kBlockSide),
                                             model.hyper_analysis->hyper()}));
}

py::tuple choose(const EncoderModel& model, const Array<int16_t>& y, const Array<int16_t>& z, const py::object& quality,
                 const Array<int16_t>& dead_zones, const std::vector<bool>& first, int threads) {
    const int16_t* values = latents_from(y, "latents", model.analysis->latents());
    const int rows = static_cast<int>(y.shape(0)), columns = static_cast<int>(y.shape(1));
    const int16_t* coarse = latents_from(z, "hyperlatents", model.hyper_analysis->hyper());
    if (z.shape(0) != ceil_div(rows, kHyperStride) || z.shape(1) != ceil_div(columns, kHyperStride))
        throw std::invalid_argument("the hyperlatents are not those of the latents");
    const Qualities qualities = qualities_of(quality, rows, columns);
    const Choices choices = choices_of(dead_zones, first);
    threads_of(threads);
    TileSymbols chosen;
    {
        const WithoutGil released;
        chosen = choose_symbols(model, rows, columns, values, coarse, qualities, choices, threads);
    }
    const auto n = static_cast<py::ssize_t>(chosen.symbols.size());
    return py::make_tuple(array_of(chosen.symbols, {n}), array_of(chosen.indexes, {n}), chosen.segments,
                          array_of(chosen.latents, {rows, columns, model.analysis->latents()}));
}

py::list encode(const EncoderModel& model, const py::array& data, const py::object& alpha,
                const std::array<int, 4>& tile, const py::object& quality, int effort, const Array<int16_t>& dead_zones,
                const std::vector<bool>& first, int threads, const py::object& progress) {
    const SampleView samples = samples_of(data, alpha);
    const Rect rect = rect_of(tile, samples, kBlockSide);
    const Qualities whole = whole_of(quality, samples);
    const Choices choices = choices_of(dead_zones, first);
    threads_of(threads);
    Vector<ByteString> found;
    {
        const WithoutGil released;
        found = encode_tile(model, samples, rect, whole, effort, choices, threads, called(progress));
    }
    py::list parts;
    for (const ByteString& part : found) parts.append(py::bytes(part.data(), part.size()));
    return parts;
}

Array<int16_t> input(const py::array& data, const py::object& alpha, const std::array<int, 4>& area, int threads) {
    const SampleView samples = samples_of(data, alpha);
    const Rect rect = rect_of(area, samples, 1);
    threads_of(threads);
    TileInput found;
    {
        const WithoutGil released;
        found = tile_input(samples, rect, threads);
    }
    Array<int16_t> out({found.rows, found.columns, 3});
    std::copy_n(found.data.get(), out.size(), out.mutable_data());
    return out;
}

// The pixels of tile_input, [rows, columns, 3].
TileInput input_from(const Array<int16_t>& pixels) {
    if (pixels.ndim() != 3 || pixels.shape(2) != 3 || !(pixels.flags() & py::array::c_style) ||
        pixels.shape(0) > kMaxSide + 1 || pixels.shape(1) > kMaxSide + 1)
        throw std::invalid_argument("pixels must be [rows, columns, 3] and contiguous");
    check_aligned(pixels, "pixels");
    for (const int16_t* p = pixels.data(); p != pixels.data() + pixels.size(); ++p)
        in_range(*p, -255 * kPixelUnit / 2, 255 * kPixelUnit / 2, "a pixel");
    TileInput input = {static_cast<int>(pixels.shape(0)), static_cast<int>(pixels.shape(1)),
                       Buffer<int16_t>(pixels.size())};
    std::copy_n(pixels.data(), pixels.size(), input.data.get());
    return input;
}

const uint16_t* decoded_from(const Array<uint16_t>& decoded, int rows, int columns) {
    if (decoded.ndim() != 3 || decoded.shape(0) != rows || decoded.shape(1) != columns ||
        (decoded.shape(2) != 1 && decoded.shape(2) != 3) || !(decoded.flags() & py::array::c_style))
        throw std::invalid_argument("decoded must be [" + std::to_string(rows) + ", " + std::to_string(columns) +
                                    ", 1 or 3] and contiguous");
    check_aligned(decoded, "decoded");
    return decoded.data();
}

// A Refinement, and the sizes that its arrays must have. One thread at a time uses it; others wait without the GIL.
struct RefinementOfArrays {
    Refinement refinement;
    int rows, columns;
    std::vector<py::ssize_t> latents;
    std::mutex mutex{};

    Array<int16_t> array(const Vector<int16_t>& (Refinement::*values)() const) {
        Vector<int16_t> copy;
        {
            const WithoutGil released;
            const std::lock_guard<std::mutex> lock(mutex);
            copy = (refinement.*values)();
        }
        return array_of(copy, latents);
    }
    bool accept(uint64_t n_bytes, const Array<uint16_t>& decoded, const Array<int16_t>& dequantised, int threads) {
        const uint16_t* samples = decoded_from(decoded, rows, columns);
        const int16_t* values = latents_from(dequantised, "latents", latents[2]);
        if (dequantised.shape(0) != latents[0] || dequantised.shape(1) != latents[1])
            throw std::invalid_argument("the latents are not those of the tile");
        threads_of(threads);
        const int channels = static_cast<int>(decoded.shape(2));
        const WithoutGil released;
        const std::lock_guard<std::mutex> lock(mutex);
        return refinement.accept(n_bytes, samples, channels, values, threads);
    }
};

std::unique_ptr<RefinementOfArrays> refinement_from(std::shared_ptr<Projection> projection,
                                                    const Array<int16_t>& pixels, std::pair<int, int> size,
                                                    const std::array<int, 4>& tile, const std::string& tune, int effort,
                                                    double level, const Array<int16_t>& latents, int threads) {
    TileInput seen = input_from(pixels);
    const int rows = in_range(size.first, 1, seen.rows, "rows"),
              columns = in_range(size.second, 1, seen.columns, "columns");
    const Rect rect = rect_of(tile, {columns, rows, 3, 8, nullptr, 0, 0, 0}, 1);
    const int16_t* values = latents_from(latents, "latents", projection->latents());
    threads_of(threads);
    if (!(level >= 1 && level <= kMaxLevel)) throw std::invalid_argument("level must be 1 to 120");
    const std::vector<py::ssize_t> shape = {latents.shape(), latents.shape() + 3};
    return std::unique_ptr<RefinementOfArrays>(new RefinementOfArrays{
        Refinement(std::move(projection), std::move(seen), {0, rows, 0, columns}, rect, tune_of(tune), effort, level,
                   {values, values + latents.size()}, threads),
        rows, columns, shape});
}

py::tuple perceived_error(const Array<int16_t>& original, const Array<uint16_t>& decoded, bool with_slope,
                          int threads) {
    const TileInput pixels = input_from(original);
    if (std::min(pixels.rows, pixels.columns) < PerceivedError::kMinSide)
        throw std::invalid_argument("sides must be at least 8");
    const uint16_t* samples = decoded_from(decoded, pixels.rows, pixels.columns);
    threads_of(threads);
    Array<float> slope({3, with_slope ? pixels.rows : 0, pixels.columns});
    float* to = with_slope ? slope.mutable_data() : nullptr;
    const int channels = static_cast<int>(decoded.shape(2));
    double error;
    {
        const WithoutGil released;
        PerceivedError perceived(pixels.rows, pixels.columns, pixels.data.get(), ptrdiff_t{3} * pixels.columns,
                                 threads);
        error = perceived.measure(samples, channels, to, threads);
    }
    return py::make_tuple(error, with_slope ? py::object(slope) : py::none());
}

}  // namespace

void bind_encode(py::module_& m) {
    m.attr("SEEN") = kSeen;
    m.attr("SQUARED_ERROR") = kSquaredError;
    m.attr("PERCEIVED_ERROR") = kPerceivedError;
    m.def("iterations", [](const std::string& tune, int effort) { return iterations_of(tune_of(tune), effort); },
          py::arg("tune"), py::arg("effort"));
    m.def("level_lambda", &lambda_of, py::arg("level"));
    m.def("tile_input", &input, py::arg("data"), py::arg("alpha"), py::arg("area"), py::arg("threads") = 1);
    m.def("perceived_error", &perceived_error, py::arg("original").noconvert(), py::arg("decoded").noconvert(),
          py::arg("with_slope") = true, py::arg("threads") = 1);
    py::class_<RefinementOfArrays>(m, "Refinement")
        .def("__init__", made_by(&refinement_from), kConstructor, py::arg("projection").none(false),
             py::arg("pixels").noconvert(), py::kw_only(), py::arg("size"), py::arg("tile"), py::arg("tune"),
             py::arg("effort"), py::arg("level"), py::arg("latents").noconvert(), py::arg("threads") = 1)
        .def_property_readonly("target", [](RefinementOfArrays& self) { return self.array(&Refinement::target); })
        .def_property_readonly("best", [](RefinementOfArrays& self) { return self.array(&Refinement::best); })
        .def("accept", &RefinementOfArrays::accept, py::arg("n_bytes"), py::arg("decoded").noconvert(),
             py::arg("latents").noconvert(), py::arg("threads") = 1);
    py::class_<EncoderModel, std::shared_ptr<EncoderModel>>(m, "EncoderModel")
        .def("latents", &latents, py::arg("data"), py::arg("alpha"), py::kw_only(), py::arg("area"), py::arg("quality"),
             py::arg("threads") = 1)
        .def("hyperlatents", &hyperlatents, py::arg("latents").noconvert(), py::kw_only(), py::arg("quality"),
             py::arg("threads") = 1)
        .def("analyse", &analyse, py::arg("data"), py::arg("alpha"), py::kw_only(), py::arg("tile"), py::arg("quality"),
             py::arg("effort"), py::arg("dead_zones").noconvert(), py::arg("first"), py::arg("threads"),
             py::arg("progress"))
        .def("choose", &choose, py::arg("latents").noconvert(), py::arg("hyperlatents").noconvert(), py::kw_only(),
             py::arg("quality"), py::arg("dead_zones").noconvert(), py::arg("first"), py::arg("threads") = 1)
        .def("encode", &encode, py::arg("data"), py::arg("alpha"), py::kw_only(), py::arg("tile"), py::arg("quality"),
             py::arg("effort"), py::arg("dead_zones").noconvert(), py::arg("first"), py::arg("threads"),
             py::arg("progress"));
}

}  // namespace aec
