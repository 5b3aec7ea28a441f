#include "picture/exact.h"

#include <algorithm>

#include "base/parallel.h"
#include "lossless/lossless.h"

namespace aec {
namespace {

void decode_one(const Layout& layout, uint64_t tile, const Canvas& canvas) {
    const Header& header = layout.header();
    const Area area = header.area_of(tile);
    const int colours = header.gray ? 1 : 3, channels = colours + header.alpha;
    Vector<uint16_t> samples(size_t{area.width} * area.height * channels);
    if (layout.whole_parts(tile) == 0) {
        for (size_t i = 0; i < samples.size(); ++i) {
            const bool is_alpha = header.alpha && static_cast<int>(i % channels) == colours;
            samples[i] = static_cast<uint16_t>(is_alpha ? (1 << header.depth) - 1 : 1 << (header.depth - 1));
        }
    } else {
        const ExactPicture picture = {static_cast<int>(area.width), static_cast<int>(area.height), channels,
                                      header.depth, header.quality};
        const Span payload = layout.payload(tile);
        if (const Fault fault = decode_exact(payload.data, payload.size, picture, samples.data()))
            throw Error(ErrorKind::kCorrupt, "tile " + std::to_string(tile) + ": " + words_of(fault));
    }
    const Area shown = area.common(canvas.area(header.width, header.height));
    const ptrdiff_t stride = ptrdiff_t{area.width} * channels;
    const uint16_t* first = samples.data() + (shown.y - area.y) * stride + ptrdiff_t{shown.x - area.x} * channels;
    place(canvas,
          Samples<uint16_t>{first, stride, channels, shown, colours, header.alpha ? colours : -1, header.depth});
}

}  // namespace

void decode_exact_picture(const Layout& layout, const Canvas& canvas, int threads, const Progress& progress) {
    const Header& header = layout.header();
    const Area shown = canvas.area(header.width, header.height);
    Vector<uint64_t> touched;
    for (uint64_t tile = 0; tile < header.n_tiles(); ++tile)
        if (header.area_of(tile).touches(shown)) touched.push_back(tile);
    // As many tiles at once as there are threads, so that the caller hears of the progress.
    for (size_t done = 0; done < touched.size();) {
        const size_t n = std::min<size_t>(threads, touched.size() - done);
        parallel_for(threads, static_cast<int64_t>(n),
                     [&](int64_t i) { decode_one(layout, touched[done + i], canvas); });
        done += n;
        if (progress) progress(static_cast<double>(done) / static_cast<double>(touched.size()));
    }
}

}  // namespace aec
