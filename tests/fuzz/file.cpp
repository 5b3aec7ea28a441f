// A fuzz target for the C library: the input is an .aec file of the model that AEC_FUZZ_MODEL names, and its corpus are
// the golden files. A number that is made of its bytes chooses what is decoded of it. Checksums are not compared
// (FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION), so that damage gets behind them.
//
// These count as errors: a crash; an internal error; a status that the call must not have; results that are touched
// although the call failed; a region that differs from the whole picture; a picture that depends on the threads.
#include <fstream>
#include <iterator>

#include "capi/aec.h"
#include "harness.h"

namespace aec::fuzz {
namespace {

constexpr uint64_t kMaxPixels = 1 << 15;  // larger pictures take too long

const aec_model* model() {
    static aec_model* const loaded = [] {
        std::ifstream file(AEC_FUZZ_MODEL, std::ios::binary);
        const std::vector<char> data{std::istreambuf_iterator<char>(file), {}};
        aec_model* made = nullptr;
        AEC_REQUIRE(aec_model_open_memory(data.data(), data.size(), 0, &made, nullptr) == AEC_OK);
        return made;
    }();
    return loaded;
}

uint32_t hash_of(const uint8_t* data, size_t size) {
    uint32_t hash = 2166136261;
    for (size_t i = 0; i < size; ++i) hash = (hash ^ data[i]) * 16777619;
    return hash;
}

aec_status decode_embedded(void*, const aec_embedded_picture* picture) {
    const size_t bytes = picture->stride * picture->height;
    for (size_t i = 0; i < bytes; ++i) static_cast<uint8_t*>(picture->pixels)[i] = static_cast<uint8_t>(i % 251);
    return picture->size % 7 == 0 ? AEC_ERROR_EMBEDDED : AEC_OK;
}

bool is_of_the_file(aec_status status) { return status >= AEC_OK && status <= AEC_ERROR_EMBEDDED; }

// The picture, or nothing if it cannot be decoded.
std::vector<uint8_t> decoded(aec_file* file, const aec_decode_options& options, aec_pixels& pixels) {
    aec_pixels_init(&pixels, sizeof pixels);
    AEC_REQUIRE(aec_get_pixels(file, &options, &pixels, nullptr) == AEC_OK);
    Exact<uint8_t> out(pixels.bytes);
    aec_error error;
    const aec_status status = aec_decode_picture(file, model(), &options, out.data(), pixels.row_bytes, pixels.bytes, &error);
    AEC_REQUIRE(is_of_the_file(status) && error.status == status && (error.message[0] != 0) == (status != AEC_OK));
    if (status != AEC_OK) return {};
    return {out.data(), out.data() + pixels.bytes};
}

void read_metadata(aec_file* file) {
    for (int kind = 0; kind <= AEC_METADATA_EXTRA; ++kind) {
        const uint8_t* data = nullptr;
        size_t size = 1;
        const aec_status status = aec_get_metadata(file, static_cast<aec_metadata_kind>(kind), &data, &size, nullptr);
        AEC_REQUIRE(status == AEC_OK || status == AEC_ERROR_CORRUPT);
        AEC_REQUIRE(status == AEC_OK || (data == nullptr && size == 1));
        uint32_t sum = 0;
        for (size_t i = 0; data != nullptr && i < size; ++i) sum += data[i];
        static volatile uint32_t read;  // so that the bytes are really read
        read = sum;
    }
}

void run(const uint8_t* data, size_t size) {
    Exact<uint8_t> bytes(data, size);
    const uint32_t choice = hash_of(data, size);
    aec_open_options options;
    aec_open_options_init(&options, sizeof options);
    options.max_pixels = kMaxPixels;
    options.allow_partial = choice & 1;
    aec_file* file = nullptr;
    const aec_status status = aec_open_memory(bytes.data(), bytes.size(), &options, &file, nullptr);
    AEC_REQUIRE(is_of_the_file(status) && (file != nullptr) == (status == AEC_OK));
    if (status != AEC_OK) return;
    read_metadata(file);
    for (uint64_t i = 0; i < aec_missing_count(file); ++i) {
        aec_missing missing;
        aec_missing_init(&missing, sizeof missing);
        AEC_REQUIRE(aec_get_missing(file, i, &missing, nullptr) == AEC_OK);
    }
    aec_decode_options decode;
    aec_decode_options_init(&decode, sizeof decode);
    decode.shrink = 1u << (choice >> 1 & 3);
    decode.depth = choice >> 3 & 1 ? 8 : 16;
    decode.channels = AEC_CHANNELS_RGBA;
    decode.threads = 1 + (choice >> 4 & 1);
    decode.embedded = &decode_embedded;
    aec_pixels pixels, part_pixels;
    const std::vector<uint8_t> whole = decoded(file, decode, pixels);
    if (!whole.empty()) {
        // A region from a square's border on, within it.
        aec_info info;
        aec_info_init(&info, sizeof info);
        aec_get_info(file, &info, nullptr);
        const uint32_t left = (choice >> 5 & 15) % pixels.width, top = (choice >> 9 & 15) % pixels.height;
        decode.x = left * decode.shrink;
        decode.y = top * decode.shrink;
        decode.width = info.width - decode.x;
        decode.height = 1 + (choice >> 13) % (info.height - decode.y);
        decode.threads = 3 - decode.threads;
        const std::vector<uint8_t> part = decoded(file, decode, part_pixels);
        AEC_REQUIRE(!part.empty());
        const size_t pixel = 4 * pixels.depth / 8;
        for (uint32_t y = 0; y < part_pixels.height; ++y)
            AEC_REQUIRE(std::memcmp(&part[y * part_pixels.row_bytes], &whole[(top + y) * pixels.row_bytes + left * pixel],
                                    part_pixels.row_bytes) == 0);
    }
    aec_close(file);
}

}  // namespace
}  // namespace aec::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    aec::fuzz::run(data, size);
    return 0;
}
