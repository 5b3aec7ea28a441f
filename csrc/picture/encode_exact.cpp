// Pictures that no network codes: exact ones (FORMAT §9), and the files of others, stored (FORMAT §2.9).
#include <cstring>

#include "base/parallel.h"
#include "base/range.h"
#include "lossless/lossless.h"
#include "picture/decode.h"
#include "picture/encode.h"

namespace aec {
namespace {

uint16_t sample_at(const uint8_t* from, int depth) {
    if (depth == 8) return *from;
    uint16_t sample;
    std::memcpy(&sample, from, sizeof sample);  // which need not be aligned
    return sample;
}

bool is_opaque(const SampleView& samples) {
    if (samples.alpha == nullptr) return true;
    const uint16_t opaque = samples.depth == 8 ? 255 : 65535;
    for (int y = 0; y < samples.height; ++y)
        for (int x = 0; x < samples.width; ++x)
            if (sample_at(samples.alpha + y * samples.alpha_row + x * samples.alpha_column, samples.depth) != opaque)
                return false;
    return true;
}

ByteString coded_tile(const SampleView& samples, const Area& area, bool has_alpha, int largest_error) {
    const int channels = samples.channels + has_alpha;
    Vector<uint16_t> gathered(size_t{area.width} * area.height * channels);
    uint16_t* to = gathered.data();
    for (ptrdiff_t y = area.y; y < area.bottom(); ++y)
        for (ptrdiff_t x = area.x; x < area.right(); ++x) {
            const uint8_t* from = samples.data + y * samples.row + x * samples.column;
            for (int c = 0; c < samples.channels; ++c) *to++ = sample_at(from + c * samples.channel, samples.depth);
            if (has_alpha)
                *to++ = sample_at(samples.alpha + y * samples.alpha_row + x * samples.alpha_column, samples.depth);
        }
    const ExactPicture picture = {static_cast<int>(area.width), static_cast<int>(area.height), channels, samples.depth,
                                  largest_error};
    const Vector<uint8_t> payload = encode_exact(picture, gathered.data());
    return {payload.begin(), payload.end()};
}

}  // namespace

ByteString encode_exact_picture(const SampleView& samples, const ExactSettings& settings,
                                 const std::array<Span, kKindCount>& metadata) {
    in_range(settings.largest_error, 0, kMaxError, "max_error");
    in_range(settings.threads, 1, 1 << 16, "threads");
    FileParts file;
    Header& header = file.header;
    header.width = samples.width;
    header.height = samples.height;
    header.quality = settings.largest_error;
    header.gray = samples.channels == 1;
    header.alpha = !is_opaque(samples);
    header.tile = settings.tile;
    header.depth = samples.depth;
    header.exact = true;
    file.metadata = metadata;
    check_header(header);  // before the work
    const auto n = static_cast<int64_t>(header.n_tiles());
    file.payloads.resize(n);
    Steps steps(settings.progress, n);
    parallel_for(settings.threads, n, [&](int64_t i) {
        file.payloads[i] = coded_tile(samples, header.area_of(i), header.alpha, header.quality);
        steps.next();
    });
    return write_file(file);
}

ByteString store_picture(Span file, const Limits& limits, const EmbeddedDecoder& embedded) {
    const Still still = still_of(file);
    const bool is_turned = orientation_of(file) >= 5;
    FileParts parts;
    Header& header = parts.header;
    header.width = is_turned ? still.height : still.width;
    header.height = is_turned ? still.width : still.height;
    header.gray = still.gray;
    header.tile = kMinTile;
    header.depth = still.depth;
    header.stored = true;
    if (header.width == 0 || header.height == 0) throw Error(ErrorKind::kCorrupt, "a picture without pixels");
    check_size(header, limits);
    check_header(header);
    header.alpha = !is_opaque(still, file, embedded);
    parts.payloads.emplace_back(reinterpret_cast<const char*>(file.data), file.size);
    return write_file(parts);
}

}  // namespace aec
