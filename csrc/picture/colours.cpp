#include "picture/colours.h"

#include <map>

#include "base/parallel.h"
#include "picture/windows.h"
#include "rans/parts.h"
#include "tile/decode_tile.h"

namespace aec {
namespace {

// The latents of a tile, [rows][columns][channels].
struct DecodedTile {
    Rect rect;  // in the picture's latents
    Vector<int16_t> data;
};

class ColourDecoder {
public:
    ColourDecoder(const Layout& layout, const Model& model, const Area& region, const Canvas& canvas, int threads)
        : layout_(layout), header_(layout.header()), model_(model), region_(region), canvas_(canvas), threads_(threads),
          quality_(layout, model.tables), whole_(in_latents(rect_of({0, 0, header_.width, header_.height}))) {
        if (header_.first > 0) first_ = model.first_channels(header_.quality, header_.first);
        has_branch_ = model.has_branch(quality_.highest(), canvas.shrink);
    }

    void run(const Progress& progress) {
        const std::vector<Window> windows = windows_of(header_, region_, has_branch_ ? model_.config.halo() : 0);
        std::map<uint64_t, size_t> last;  // of each tile, the window that needs it last
        for (size_t i = 0; i < windows.size(); ++i)
            for (const uint64_t tile : windows[i].tiles(header_)) last[tile] = i;
        for (size_t i = 0; i < windows.size(); ++i) {
            const Vector<uint64_t> tiles = windows[i].tiles(header_);
            read_tiles(tiles);
            if (canvas_.depth == 8)
                make<uint8_t>(windows[i], tiles);
            else
                make<uint16_t>(windows[i], tiles);
            for (const uint64_t tile : tiles)
                if (last[tile] == i) held_.erase(tile);
            if (progress) progress(static_cast<double>(i + 1) / static_cast<double>(windows.size()));
        }
    }

private:
    // Decodes those of the tiles that are not there yet: several at once, and each with a share of the threads.
    void read_tiles(const Vector<uint64_t>& tiles) {
        Vector<std::pair<uint64_t, DecodedTile*>> wanted;
        for (const uint64_t tile : tiles)
            if (const auto [at, is_new] = held_.try_emplace(tile); is_new) wanted.emplace_back(tile, &at->second);
        const int64_t n = static_cast<int64_t>(wanted.size());
        const int each = static_cast<int>(std::max<int64_t>(1, threads_ / std::max<int64_t>(1, n)));
        parallel_for(threads_, n, [&](int64_t i) { *wanted[i].second = read_tile(wanted[i].first, each); });
    }

    DecodedTile read_tile(uint64_t tile, int threads) const {
        const Area area = header_.area_of(tile);
        DecodedTile latents = {in_latents(rect_of(area)), {}};
        const TileSize size = {latents.rect.rows(), latents.rect.columns()};
        latents.data.resize(static_cast<size_t>(size.rows) * size.columns * model_.config.latents);
        // The parts up to the first that is not whole. Of that one there may be the beginning, if it is cut off; of a
        // damaged one nothing is used.
        const int whole = layout_.whole_parts(tile);
        const bool early = whole < header_.parts;
        Vector<Span> parts;
        for (int i = 0; i < std::min(whole + 1, header_.parts); ++i)
            parts.push_back(layout_.payload(tile + i * header_.n_tiles()));
        if (early && layout_.state(tile + whole * header_.n_tiles()) == Presence::kDamaged) parts.back().size = 0;
        ByteString joined;
        Fault fault;
        Span payload = parts[0];
        if (header_.parts > 1 || early) {
            fault = join_parts(parts, early, joined);
            payload = {reinterpret_cast<const uint8_t*>(joined.data()), joined.size()};
        }
        if (!fault)
            fault = decode_tile(model_.nets, model_.tables, quality_.of(area), size, payload, early, first_, threads,
                                latents.data.data());
        if (!fault) return latents;
        if (!early) throw Error(ErrorKind::kCorrupt, "tile " + std::to_string(tile) + ": " + words_of(fault));
        std::fill(latents.data.begin(), latents.data.end(), int16_t{0});  // there is not enough to begin with
        return latents;
    }

    // Copies the latents of a window out of its tiles.
    void gather(const Rect& to, const Vector<uint64_t>& tiles, int16_t* out) const {
        const ptrdiff_t channels = model_.config.latents;
        for (const uint64_t tile : tiles) {
            const DecodedTile& from = held_.at(tile);
            const int x0 = std::max(from.rect.x0, to.x0), x1 = std::min(from.rect.x1, to.x1);
            for (int y = std::max(from.rect.y0, to.y0); y < std::min(from.rect.y1, to.y1); ++y) {
                const ptrdiff_t at = static_cast<ptrdiff_t>(y - from.rect.y0) * from.rect.columns() + x0 - from.rect.x0;
                std::copy_n(from.data.data() + at * channels, (x1 - x0) * channels,
                            out + (static_cast<ptrdiff_t>(y - to.y0) * to.columns() + x0 - to.x0) * channels);
            }
        }
    }

    template <class Sample>
    void make(const Window& window, const Vector<uint64_t>& tiles) {
        const ptrdiff_t channels = model_.config.latents;
        Vector<int16_t> gathered;
        Synthesis::Latents latents = {window.latents, nullptr, window.latents.columns() * channels};
        if (tiles.size() == 1) {
            const DecodedTile& only = held_.at(tiles[0]);
            latents = {only.rect, only.data.data(), only.rect.columns() * channels};
        } else {
            gathered.resize(static_cast<size_t>(window.latents.rows()) * window.latents.columns() * channels);
            gather(window.latents, tiles, gathered.data());
            latents.data = gathered.data();
        }
        int shrink_log2 = 0;
        while (1 << shrink_log2 < canvas_.shrink) ++shrink_log2;
        const Synthesis::Picture picture = {whole_.y1,   whole_.x1,   quality_.whole(),
                                            shrink_log2, has_branch_, header_.gray};
        const uint32_t s = canvas_.shrink;
        const Rect area = {static_cast<int>(window.area.y / s), static_cast<int>((window.area.bottom() + s - 1) / s),
                           static_cast<int>(window.area.x / s), static_cast<int>((window.area.right() + s - 1) / s)};
        const int colours = header_.gray ? 1 : 3;
        const Synthesis& synthesis = *model_.synthesis;
        if (canvas_.channels == colours && canvas_.stride % sizeof(Sample) == 0) {
            auto* out = reinterpret_cast<Sample*>(canvas_.at(area.x0, area.y0));
            synthesis.run(picture, latents, area, out, static_cast<ptrdiff_t>(canvas_.stride / sizeof(Sample)),
                          threads_);
            return;
        }
        Vector<Sample> made(static_cast<size_t>(area.rows()) * area.columns() * colours);
        synthesis.run(picture, latents, area, made.data(), ptrdiff_t{area.columns()} * colours, threads_);
        place_made(canvas_, made.data(), colours, area.x0, area.y0, area.columns(), area.rows());
    }

    const Layout& layout_;
    const Header& header_;
    const Model& model_;
    const Area region_;
    const Canvas canvas_;
    const int threads_;
    const PictureQuality quality_;
    const Rect whole_;  // the latents of the picture
    std::vector<bool> first_;
    bool has_branch_;
    std::map<uint64_t, DecodedTile> held_;
};

}  // namespace

void decode_colours(const Layout& layout, const Model& model, const Area& region, const Canvas& canvas, int threads,
                    const Progress& progress) {
    const Header& header = layout.header();
    const int allowed = 1 + model.config.steps * (header.first > 0 ? 2 : 1);
    if (header.parts != 1 && header.parts != allowed)
        throw Error(ErrorKind::kCorrupt, std::to_string(header.parts) +
                                             " parts of each tile: with this model it must be " +
                                             std::to_string(allowed));
    if (header.first >= model.config.latents)
        throw Error(ErrorKind::kCorrupt, std::to_string(header.first) + " channels in the first pass: must be below " +
                                             std::to_string(model.config.latents));
    ColourDecoder(layout, model, region, canvas, threads).run(progress);
}

}  // namespace aec
