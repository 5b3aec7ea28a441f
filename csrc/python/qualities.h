// The argument `quality` of the networks: an int, or an array with a quality for each block of 64x64 pixels.
#pragma once

#include "base/range.h"
#include "engine/nets.h"
#include "engine/pack.h"
#include "engine/qualities.h"
#include "python/bind.h"

namespace aec {

inline int quality_of(const py::object& quality) {
    if (!PyIndex_Check(quality.ptr())) throw py::type_error("quality must be an int, or an array of uint8");
    try {
        return in_range(quality.cast<int>(), 1, kQualities, "quality");
    } catch (const py::cast_error&) {
        throw py::type_error("quality is too large for an int");
    }
}

// rows, columns: of the picture's latents, at least 1. Throws type_error, or invalid_argument if a quality is not
// 1 to 100, or the array is not [ceil(rows / 4), ceil(columns / 4)] and contiguous.
inline Qualities qualities_of(const py::object& quality, int rows, int columns) {
    if (!py::isinstance<py::array>(quality)) return quality_of(quality);
    if (!py::isinstance<Array<uint8_t>>(quality)) throw py::type_error("a map of qualities must be uint8");
    const auto map = py::reinterpret_borrow<Array<uint8_t>>(quality);
    constexpr int kSide = 1 << kBlockLatentsLog2;
    const py::ssize_t block_rows = (rows + kSide - 1) / kSide, block_columns = (columns + kSide - 1) / kSide;
    if (map.ndim() != 2 || map.shape(0) != block_rows || map.shape(1) != block_columns)
        throw std::invalid_argument("a map of qualities has shape " + text_of({map.shape(), map.shape() + map.ndim()}) +
                                    ", must have " + text_of({block_rows, block_columns}));
    if (!(map.flags() & py::array::c_style)) throw std::invalid_argument("a map of qualities must be contiguous");
    Vector<uint8_t> values(map.data(), map.data() + map.size());
    for (const uint8_t value : values) in_range(value, 1, kQualities, "quality");
    return {static_cast<int>(block_columns), std::move(values)};
}

}  // namespace aec
