#include "picture/encode.h"

#include <algorithm>
#include <limits>

#include "base/range.h"
#include "picture/windows.h"
#include "rans/parts.h"

namespace aec {
namespace {

constexpr int kMostAtOnce = 4;  // tiles: the networks need up to 250 MB for one and its margin
// With a mean payload of at least so many bytes a tile, files have their payloads in parts. The four more entries that
// each tile then has in the table take at most 28 bytes, 0.23 % of it. Smaller files arrive as a whole anyway: the
// first packets of a connection hold 14 KB.
constexpr uint64_t kPartsFrom = 12 * 1024;
// By level: how many of the channels the first of two passes codes, such that it has about half of the bytes.
constexpr struct {
    float below;
    int divisor;
} kFirstShare[] = {{45, 32}, {75, 16}, {std::numeric_limits<float>::infinity(), 8}};

int first_of(const Model& model, int quality) {
    const float level = model.levels()[quality - 1];
    for (const auto& share : kFirstShare)
        if (level < share.below) return model.config.latents / share.divisor;
    return 0;
}

// The map of qualities, coded as differences between neighbours with the index that takes the fewest bytes (FORMAT §8).
ByteString coded_map(const Vector<uint8_t>& map, size_t columns, int base, const Tables& tables) {
    Vector<int16_t> symbols(map.size());
    bool differs = false;
    for (size_t i = 0; i < map.size(); ++i) {
        const int before = i % columns > 0 ? map[i - 1] : i > 0 ? map[i - columns] : base;
        symbols[i] = static_cast<int16_t>(map[i] - before);
        differs |= symbols[i] != 0;
    }
    ByteString best(1, 0);
    if (!differs) return best;
    best.clear();
    for (int index = 1; index < kIndexCount; ++index) {
        const Vector<uint8_t> indexes(map.size(), static_cast<uint8_t>(index));
        Payload payload;
        if (const Fault fault =
                encode_cpu(tables, symbols.data(), indexes.data(), {map.size()}, kAutoLanes, 1, payload))
            throw std::logic_error(describe(fault.status));
        if (!best.empty() && payload.size + 1 >= best.size()) continue;
        best.assign(1, static_cast<char>(index));
        best.append(reinterpret_cast<const char*>(payload.data), payload.size);
    }
    return best;
}

void check(const SampleView& samples, const EncodeSettings& settings) {
    in_range(settings.quality, 1, kQualities, "quality");
    in_range(settings.effort, 1, kMaxEffort, "effort");
    in_range(settings.threads, 1, 1 << 16, "threads");
    if (settings.map.empty()) return;
    const size_t n = size_t{blocks_of(samples.height)} * blocks_of(samples.width);
    if (settings.map.size() != n)
        throw std::invalid_argument("a map of " + std::to_string(settings.map.size()) + " qualities: the picture has " +
                                    std::to_string(n) + " blocks of 64x64 pixels");
    for (const uint8_t quality : settings.map) in_range(quality, 1, kQualities, "a quality of the map");
}

using Parts = Vector<ByteString>;  // of a tile

Vector<Parts> encode_tiles(const Encoder& encoder, const SampleView& samples, const Header& header,
                                const EncodeSettings& settings) {
    const Qualities whole = settings.map.empty()
                                ? Qualities(settings.quality)
                                : Qualities(static_cast<int>(blocks_of(header.width)), settings.map);
    Choices choices;
    if (settings.effort > 1) choices.dead_zones = encoder.model->dead_zones;
    if (header.first > 0) choices.first = encoder.model->first_channels(header.quality, header.first);
    const auto n = static_cast<int64_t>(header.n_tiles());
    const int workers = static_cast<int>(std::min<int64_t>({n, settings.threads, kMostAtOnce}));
    const int iterations = iterations_of(encoder.parts.tune, settings.effort);
    Steps steps(settings.progress, std::max(1, iterations) * n);
    const auto tell = [&] { steps.next(); };
    Vector<Parts> coded(n);
    parallel_for(workers, n, [&](int64_t i) {
        coded[i] = encode_tile(encoder.parts, samples, rect_of(header.area_of(i)), whole, settings.effort, choices,
                               std::max(1, settings.threads / workers), tell);
        if (iterations == 0) tell();
    });
    return coded;
}

// The payloads in the order of the file, and whether they are in parts.
void arrange(const Vector<Parts>& coded, FileParts& file) {
    uint64_t n_bytes = 0;
    for (const Parts& parts : coded)
        for (const ByteString& part : parts) n_bytes += part.size();
    if (file.header.first == 0 && n_bytes < kPartsFrom * coded.size()) {
        for (const Parts& parts : coded) {
            Vector<Span> spans;
            for (const ByteString& part : parts)
                spans.push_back({reinterpret_cast<const uint8_t*>(part.data()), part.size()});
            ByteString payload;
            if (const Fault fault = join_parts(spans, false, payload)) throw std::logic_error(describe(fault.status));
            file.payloads.push_back(std::move(payload));
        }
        return;
    }
    file.header.parts = static_cast<int>(coded[0].size());
    for (size_t k = 0; k < coded[0].size(); ++k)
        for (const Parts& parts : coded) file.payloads.push_back(parts[k]);
}

}  // namespace

ByteString encode_picture(const Encoder& encoder, const SampleView& samples, const EncodeSettings& settings,
                           const Vector<ByteString>& alphas, const std::array<Span, kKindCount>& metadata) {
    check(samples, settings);
    FileParts file;
    Header& header = file.header;
    header.width = samples.width;
    header.height = samples.height;
    header.quality = settings.quality;
    header.model_id = encoder.model->id;
    header.gray = samples.channels == 1;
    header.alpha = !alphas.empty();
    header.tile = settings.tile;
    header.depth = samples.depth;
    header.mapped = !settings.map.empty();
    if (settings.progressive) {
        header.first = first_of(*encoder.model, settings.quality);
        header.parts = header.first > 0 ? 2 : 1;  // until `arrange` knows it
    }
    file.alphas = alphas;
    file.metadata = metadata;
    check_header(header);  // before the work
    if (header.mapped)
        file.quality_map = coded_map(settings.map, blocks_of(header.width), header.quality, *encoder.parts.tables);
    arrange(encode_tiles(encoder, samples, header, settings), file);
    return write_file(file);
}

}  // namespace aec
