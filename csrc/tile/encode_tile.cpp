#include "tile/encode_tile.h"

#include <algorithm>
#include <stdexcept>

#include "base/range.h"
#include "rans/coder_cpu.h"
#include "rans/parts.h"

namespace aec {
namespace {

// An area in pixels with a margin of so many latents, as far as the picture has them.
Rect widened(const Rect& area, int latents, const SampleView& samples) {
    const int by = latents * kLatentStride;
    return {std::max(0, area.y0 - by), std::min(samples.height, area.y1 + by), std::max(0, area.x0 - by),
            std::min(samples.width, area.x1 + by)};
}

Qualities of_tile(const Qualities& whole, const Rect& tile) {
    constexpr int kSide = kBlockSide;
    return whole.part(tile.y0 / kSide, blocks_of(tile.y1), tile.x0 / kSide, blocks_of(tile.x1));
}

double mean_level(const std::vector<float>& levels, const Qualities& qualities) {
    if (qualities.is_one()) return levels[qualities.one() - 1];
    double sum = 0;
    for (const uint8_t quality : qualities.map()) sum += levels[quality - 1];
    return sum / qualities.map().size();
}

// The latents of a tile among those of a larger area.
struct Surroundings {
    Rect rect, tile;  // in latents
    int channels;
    Vector<int16_t> latents;

    int16_t* row(int y) {
        return latents.data() + (ptrdiff_t{tile.y0 + y - rect.y0} * rect.columns() + tile.x0 - rect.x0) * channels;
    }
    size_t row_size() const { return static_cast<size_t>(tile.columns()) * channels; }
    Vector<int16_t> of_tile() {
        Vector<int16_t> out(tile.rows() * row_size());
        for (int y = 0; y < tile.rows(); ++y) std::copy_n(row(y), row_size(), out.data() + y * row_size());
        return out;
    }
    void set_tile(const int16_t* from) {
        for (int y = 0; y < tile.rows(); ++y) std::copy_n(from + y * row_size(), row_size(), row(y));
    }
};

Vector<int16_t> refined(const EncoderModel& model, const SampleView& samples, const Rect& tile,
                             const Qualities& whole, int effort, const Choices& choices, int threads,
                             const std::function<void()>& progress, Surroundings& around, const TileLatents& first) {
    const Qualities qualities = of_tile(whole, tile);
    const Rect seen = widened(tile, kSeen, samples);
    const Rect picture = in_latents({0, samples.height, 0, samples.width});
    const int channels = samples.channels;
    const Synthesis::Picture shown = {picture.rows(), picture.columns(), whole, 0, true, channels == 1};
    Refinement refinement(model.projection, tile_input(samples, seen, threads), {0, seen.rows(), 0, seen.columns()},
                          {tile.y0 - seen.y0, tile.y1 - seen.y0, tile.x0 - seen.x0, tile.x1 - seen.x0}, model.tune,
                          effort, mean_level(model.levels, qualities), first.y, threads);
    const ptrdiff_t row_stride = static_cast<ptrdiff_t>(seen.columns()) * channels;
    Buffer<uint16_t> decoded(seen.rows() * row_stride);
    for (;;) {
        const TileSymbols chosen =
            choose_symbols(model, around.tile.rows(), around.tile.columns(), refinement.target().data(), first.z.data(),
                           qualities, choices, threads);
        around.set_tile(chosen.latents.data());
        model.synthesis->run(shown,
                             {around.rect, around.latents.data(), ptrdiff_t{around.rect.columns()} * around.channels},
                             seen, decoded.get(), row_stride, threads);
        uint64_t n_bytes = 0;
        for (const ByteString& part : pack_symbols(model, chosen, threads)) n_bytes += part.size();
        if (!refinement.accept(n_bytes, decoded.get(), channels, chosen.latents.data(), threads))
            return refinement.best();
        progress();
    }
}

}  // namespace

Vector<int16_t> latents_of(const EncoderModel& model, const SampleView& samples, const Rect& area,
                                const Qualities& whole, int threads) {
    const Rect around = widened(area, model.analysis->halo(), samples), wanted = in_latents(area);
    const Rect picture = in_latents({0, samples.height, 0, samples.width});
    const TileInput input = tile_input(samples, around, threads);
    Vector<int16_t> out(size_t(wanted.rows()) * wanted.columns() * model.analysis->latents());
    model.analysis->run({picture.rows(), picture.columns(), whole},
                        {in_latents(around), input.data.get(), ptrdiff_t{3} * input.columns}, wanted, out.data(),
                        threads);
    return out;
}

Vector<int16_t> hyperlatents_of(const EncoderModel& model, int rows, int columns, const int16_t* y,
                                     const Qualities& qualities, int threads) {
    const int channels = model.hyper_analysis->latents();
    const int coarse_rows = ceil_div(rows, kHyperStride), coarse_columns = ceil_div(columns, kHyperStride);
    const int width = coarse_columns * kHyperStride;
    Vector<int16_t> padded;  // with the last row and column repeated, up to whole hyperlatents
    if (coarse_rows * kHyperStride != rows || width != columns) {
        padded.resize(size_t(coarse_rows) * kHyperStride * width * channels);
        int16_t* to = padded.data();
        for (int row = 0; row < coarse_rows * kHyperStride; ++row)
            for (int column = 0; column < width; ++column, to += channels)
                std::copy_n(
                    y + (ptrdiff_t{std::min(row, rows - 1)} * columns + std::min(column, columns - 1)) * channels,
                    channels, to);
        y = padded.data();
    }
    Vector<int16_t> out(size_t(coarse_rows) * coarse_columns * model.hyper_analysis->hyper());
    model.hyper_analysis->run(coarse_rows, coarse_columns, qualities, y, out.data(), threads);
    return out;
}

TileLatents analyse_tile(const EncoderModel& model, const SampleView& samples, const Rect& tile, const Qualities& whole,
                         int effort, const Choices& choices, int threads, const std::function<void()>& progress) {
    const Rect own = in_latents(tile);
    const bool refines = iterations_of(model.tune, effort) > 0;
    if (refines && (!model.synthesis || !model.projection))
        throw std::invalid_argument("an encoder that refines needs the synthesis and the projection");
    const Rect known = refines ? widened(tile, kSeen + model.analysis->halo(), samples) : tile;
    Surroundings around = {in_latents(known), own, model.analysis->latents(),
                           latents_of(model, samples, known, whole, threads)};
    TileLatents found;
    found.y = refines ? around.of_tile() : std::move(around.latents);
    found.z = hyperlatents_of(model, own.rows(), own.columns(), found.y.data(), of_tile(whole, tile), threads);
    if (refines) found.y = refined(model, samples, tile, whole, effort, choices, threads, progress, around, found);
    return found;
}

TileSymbols choose_symbols(const EncoderModel& model, int rows, int columns, const int16_t* y, const int16_t* z,
                           const Qualities& qualities, const Choices& choices, int threads) {
    constexpr std::array<int16_t, kIndexCount> kNone = {};
    Walk walk(model.nets, qualities, rows, columns, threads, choices.first);
    TileSymbols chosen;
    size_t n = 0;
    for (int k = 0; k < walk.segments(); ++k) {
        chosen.segments.push_back(walk.segment_size(k));
        n += chosen.segments.back();
    }
    chosen.symbols.resize(n);
    chosen.indexes.resize(n);
    size_t at = 0;
    for (int k = 0; k < walk.segments(); ++k) {
        walk.predict(k, chosen.indexes.data() + at);
        walk.choose(k, k == 0 ? z : y, k == 0 ? kNone.data() : choices.dead_zones.data(), chosen.symbols.data() + at);
        at += chosen.segments[k];
    }
    chosen.latents.resize(size_t(rows) * columns * walk.channels(1));
    walk.latents(chosen.latents.data());
    return chosen;
}

Vector<ByteString> pack_symbols(const EncoderModel& model, const TileSymbols& chosen, int threads) {
    Payload payload;
    const Fault fault = encode_cpu(*model.tables, chosen.symbols.data(), chosen.indexes.data(), chosen.segments,
                                   kAutoLanes, threads, payload);
    if (fault) throw std::logic_error(describe(fault.status));  // choose_symbols makes none that cannot be coded
    return cut_payload(payload);
}

Vector<ByteString> encode_tile(const EncoderModel& model, const SampleView& samples, const Rect& tile,
                                     const Qualities& whole, int effort, const Choices& choices, int threads,
                                     const std::function<void()>& progress) {
    const Rect own = in_latents(tile);
    const TileLatents found = analyse_tile(model, samples, tile, whole, effort, choices, threads, progress);
    const TileSymbols chosen = choose_symbols(model, own.rows(), own.columns(), found.y.data(), found.z.data(),
                                              of_tile(whole, tile), choices, threads);
    return pack_symbols(model, chosen, threads);
}

}  // namespace aec
