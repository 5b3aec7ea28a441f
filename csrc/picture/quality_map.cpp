#include "picture/quality_map.h"

namespace aec {
namespace {

[[noreturn]] void fail(const std::string& what) { throw Error(ErrorKind::kCorrupt, "the map of qualities" + what); }

Vector<int16_t> symbols_of(Span data, size_t n, const std::shared_ptr<const Tables>& tables) {
    Vector<int16_t> symbols(n, 0);
    const int index = data.data[0];
    if (index >= kIndexCount) fail(": index " + std::to_string(index) + ": must be below 64");
    if (index == 0 && data.size > 1)
        fail(": " + std::to_string(data.size - 1) + " bytes after index 0: nothing may follow it");
    if (index == 0) return symbols;
    Decoder decoder(tables, data.data + 1, data.size - 1);
    if (decoder.fault()) fail(": " + words_of(decoder.fault()));
    const Vector<uint8_t> indexes(n, static_cast<uint8_t>(index));
    if (const Fault fault = decoder.decode(indexes.data(), n, 1, symbols.data())) fail(": " + words_of(fault));
    if (const Fault fault = decoder.finish()) fail(": " + words_of(fault));
    return symbols;
}

}  // namespace

PictureQuality::PictureQuality(const Layout& layout, const std::shared_ptr<const Tables>& tables)
    : whole_(layout.header().quality), highest_(layout.header().quality) {
    const Header& header = layout.header();
    if (!header.mapped) return;
    const size_t rows = blocks_of(header.height), columns = blocks_of(header.width);
    const Vector<int16_t> symbols = symbols_of(layout.quality_map(), rows * columns, tables);
    Vector<uint8_t> map(rows * columns);
    highest_ = 0;
    int64_t first = header.quality;  // what a row's first block counts from: the first block of the row above
    for (size_t y = 0; y < rows; ++y) {
        int64_t value = first;
        for (size_t x = 0; x < columns; ++x) {
            value += symbols[y * columns + x];
            if (x == 0) first = value;
            if (value < 1 || value > 100) fail(" has " + std::to_string(value) + ": must be 1..100");
            map[y * columns + x] = static_cast<uint8_t>(value);
            highest_ = std::max(highest_, static_cast<int>(value));
        }
    }
    whole_ = {static_cast<int>(columns), std::move(map)};
}

Qualities PictureQuality::of(const Area& area) const {
    return whole_.part(area.y / kBlockSide, blocks_of(area.bottom()), area.x / kBlockSide, blocks_of(area.right()));
}

}  // namespace aec
