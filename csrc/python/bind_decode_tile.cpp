#include "base/range.h"
#include "engine/pack.h"
#include "python/bind.h"
#include "python/qualities.h"
#include "tile/decode_tile.h"

namespace aec {
namespace {

Array<int16_t> decode(const std::shared_ptr<Nets>& nets, const std::shared_ptr<Tables>& tables,
                      const py::object& payload, const py::object& quality, int height, int width, int threads,
                      bool is_prefix, const std::vector<bool>& first) {
    const Bytes bytes(payload);
    constexpr int kMaxSide = 1 << 12;
    const TileSize size = {in_range(height, 1, kMaxSide, "height"), in_range(width, 1, kMaxSide, "width")};
    const Qualities qualities = qualities_of(quality, height, width);
    in_range(threads, 1, 1 << 16, "threads");
    Array<int16_t> latents({height, width, nets->config.latents});
    int16_t* const out = latents.mutable_data();
    Fault fault;
    {
        const WithoutGil released;
        fault =
            decode_tile(nets, tables, qualities, size, {bytes.data(), bytes.size()}, is_prefix, first, threads, out);
    }
    raise(fault);
    return latents;
}

}  // namespace

void bind_decode_tile(py::module_& m) {
    m.def("decode_tile", &decode, py::arg("nets").none(false), py::arg("tables").none(false), py::arg("payload"),
          py::arg("quality"), py::arg("height"), py::arg("width"), py::arg("threads") = 1, py::arg("is_prefix") = false,
          py::arg("first") = std::vector<bool>());
}

}  // namespace aec
