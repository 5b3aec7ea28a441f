#include "capi/encode_input.h"

#include "container/layout.h"

namespace aec {

SampleView samples_of(const aec_picture& picture) {
    const std::string image = "image of " + std::to_string(picture.width) + "x" + std::to_string(picture.height);
    require(picture.width >= 1 && picture.height >= 1, image + ": both sides must be at least 1");
    if (std::max(picture.width, picture.height) > kMaxSide ||
        uint64_t{picture.width} * picture.height > kDefaultMaxPixels)
        throw Error(ErrorKind::kLimit, image + ": allowed are sides up to 65535 and 2^28 pixels");
    require(picture.channels >= 1 && picture.channels <= 4,
            "channels is " + std::to_string(picture.channels) + ": allowed are 1 to 4");
    require(picture.depth == 8 || picture.depth == 16,
            "depth is " + std::to_string(picture.depth) + ": allowed are 8 and 16");
    require(picture.pixels != nullptr, "pixels is NULL");
    const ptrdiff_t sample = picture.depth / 8, pixel = sample * picture.channels;
    const size_t row = static_cast<size_t>(pixel) * picture.width;
    require(picture.stride >= row,
            "stride is " + std::to_string(picture.stride) + ": at least " + std::to_string(row) + " is needed");
    require(picture.size >= row && (picture.size - row) / picture.stride >= picture.height - 1,
            "size is " + std::to_string(picture.size) + ": too small for " + std::to_string(picture.height) +
                " rows, " + std::to_string(picture.stride) + " bytes apart");
    const bool has_alpha = picture.channels % 2 == 0;
    const auto* data = static_cast<const uint8_t*>(picture.pixels);
    SampleView samples = {int_of(picture.width),
                       int_of(picture.height),
                       picture.channels < 3 ? 1 : 3,
                       int_of(picture.depth),
                       data,
                       static_cast<ptrdiff_t>(picture.stride),
                       pixel,
                       sample};
    if (!has_alpha) return samples;
    samples.alpha = data + (picture.channels - 1) * sample;
    samples.alpha_row = samples.row;
    samples.alpha_column = samples.column;
    return samples;
}

std::array<Span, kKindCount> metadata_of(const aec_bytes (&blocks_given)[kMetadataRoom], int depth) {
    std::array<Span, kKindCount> blocks;
    for (int i = 0; i < kMetadataRoom; ++i) {
        const aec_bytes& given = blocks_given[i];
        if (given.size == 0) continue;
        require(i < kKindCount, "metadata of kind " + std::to_string(i) + ", which is unknown");
        const Kind kind = static_cast<Kind>(i);
        require(given.data != nullptr, std::string(name_of(kind)) + " metadata is NULL");
        blocks[kind] = {static_cast<const uint8_t*>(given.data), given.size};
        check_block_length(kind, given.size);
        try {
            check_block(kind, blocks[kind], depth);
        } catch (const Error& e) {
            throw std::invalid_argument(e.what());
        }
    }
    const int orientation = orientation_of(blocks[kExif], blocks[kXmp]);
    require(orientation == 1, "metadata of orientation " + std::to_string(orientation) +
                                  ": turn the picture upright, and set it to 1 in EXIF and XMP");
    return blocks;
}

void check_tile(uint32_t side) {
    require(side >= kMinTile, "tile is " + std::to_string(side) + ": allowed are 64, 128, .. 4096");
}

}  // namespace aec
