#include "base/range.h"
#include "container/header.h"
#include "lossless/lossless.h"
#include "python/bind.h"

namespace aec {
namespace {

constexpr int kMaxExactSide = kMinTile << kMaxTileLog2;  // of a tile

// What the array [height][width][channels] holds. Throws invalid_argument unless it is contiguous and of an
// allowed size.
ExactPicture picture_of(const Array<uint16_t>& samples, int depth, int largest_error) {
    if (samples.ndim() != 3 || !(samples.flags() & py::array::c_style))
        throw std::invalid_argument("samples must be [height, width, channels] and contiguous");
    check_aligned(samples, "samples");
    const auto side = [&](int axis, int most, const char* name) {
        const py::ssize_t n = samples.shape(axis);
        return in_range(static_cast<int>(std::min<py::ssize_t>(n, most + 1)), 1, most, name);
    };
    return {side(1, kMaxExactSide, "width"), side(0, kMaxExactSide, "height"), side(2, 4, "channels"),
            in_range(depth, 1, 16, "depth"), in_range(largest_error, 0, kMaxError, "largest_error")};
}

py::bytes encode(const Array<uint16_t>& samples, int depth, int largest_error) {
    const ExactPicture picture = picture_of(samples, depth, largest_error);
    const uint16_t* data = samples.data();
    for (py::ssize_t i = 0; i < samples.size(); ++i)
        if (data[i] >> depth)
            throw std::invalid_argument("sample " + std::to_string(data[i]) + " has more than " +
                                        std::to_string(depth) + " bits");
    Vector<uint8_t> payload;
    {
        const WithoutGil released;
        payload = encode_exact(picture, data);
    }
    return py::bytes(reinterpret_cast<const char*>(payload.data()), payload.size());
}

void decode(const py::object& payload, Array<uint16_t>& out, int depth, int largest_error) {
    const Bytes bytes(payload);
    const ExactPicture picture = picture_of(out, depth, largest_error);
    uint16_t* const data = out.mutable_data();  // ValueError if read-only
    Fault fault;
    {
        const WithoutGil released;
        fault = decode_exact(bytes.data(), bytes.size(), picture, data);
    }
    raise(fault);
}

}  // namespace

void bind_lossless(py::module_& m) {
    m.def("encode_exact", &encode, py::arg("samples").noconvert(), py::arg("depth"), py::arg("largest_error") = 0);
    m.def("decode_exact", &decode, py::arg("payload"), py::arg("out").noconvert(), py::arg("depth"),
          py::arg("largest_error") = 0);
}

}  // namespace aec
