// A fuzz target for model files: the input says how the model that AEC_FUZZ_MODEL names is changed. Its hashes are made
// right again, so that damage gets behind them.
//
//   byte 0       bits 0 to 1: the effort, less 1; bit 2: two passes; bit 3: 1 or 2 threads
//   byte 1       the quality, less 1, modulo 100
//   the rest     four bytes for each edit: a word, the place as a share of the header or, if the third byte is odd, of
//                the tensors; and the new byte there, in the header one of kTelling
//
// These count as errors: a crash; another error than that the model cannot be run; a model that encodes what it does
// not decode.
#include <cstring>
#include <fstream>
#include <iterator>

#include "harness.h"
#include "model/encoder.h"
#include "model/stored_model.h"
#include "picture/colours.h"
#include "picture/encode.h"

namespace aec::fuzz {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr char kTelling[] = "0123456789[],:{}\"AaIU ";
constexpr int kWidth = 40, kHeight = 33, kTile = 64;

const Bytes& original() {
    static const Bytes bytes = [] {
        std::ifstream file(AEC_FUZZ_MODEL, std::ios::binary);
        return Bytes{std::istreambuf_iterator<char>(file), {}};
    }();
    return bytes;
}

// Changes the model as the input says.
Bytes changed(Input& input) {
    Bytes model = original();
    uint64_t header = 0;
    std::memcpy(&header, model.data(), sizeof header);
    while (input.left() > 0) {
        const uint64_t share = input.word();
        const bool is_tensors = input.byte() & 1;
        const uint8_t byte = input.byte();
        const uint64_t start = is_tensors ? sizeof header + header : sizeof header;
        const uint64_t n = is_tensors ? model.size() - start : header;
        model[start + share * n / 65536] = is_tensors ? byte : kTelling[byte % (sizeof kTelling - 1)];
    }
    return model;
}

// Writes the hashes that the metadata should have, where they have some.
void make_hashes_right(Bytes& model) {
    for (const bool encoders : {false, true}) try {
            const StoredModel stored({model.data(), model.size()});
            const std::string& old = entry_of(stored.file.metadata, encoders ? "encoder_sha256" : "decoder_sha256");
            const auto at = std::search(model.begin(), model.end(), old.begin(), old.end());
            const std::string digest = stored.digest(encoders);
            if (old.size() == digest.size() && at != model.end()) std::copy(digest.begin(), digest.end(), at);
        } catch (const std::invalid_argument&) {
        }
}

template <class T>
std::shared_ptr<const T> loaded(Exact<uint8_t>& file, int threads) try {
    return T::load({file.data(), file.size()}, threads);
} catch (const Error& error) {
    AEC_REQUIRE(error.kind == ErrorKind::kModel && error.what()[0] != 0);
    return nullptr;
}

void code(const Encoder& encoder, const aec::Model& model, const EncodeSettings& settings) {
    Bytes pixels(3 * kWidth * kHeight);
    uint32_t noise = 1;
    for (uint8_t& sample : pixels) sample = static_cast<uint8_t>((noise = noise * 1664525 + 1013904223) >> 24);
    const SampleView samples = {kWidth, kHeight, 3, 8, pixels.data(), 3 * kWidth, 3, 1};
    const ByteString file = encode_picture(encoder, samples, settings, {}, {});
    const Layout layout({reinterpret_cast<const uint8_t*>(file.data()), file.size()}, {}, false);
    Exact<uint8_t> out(pixels.size());
    const Canvas canvas = {out.data(), 3 * kWidth, 3, 8, 1, 0, 0, kWidth, kHeight};
    decode_colours(layout, model, {0, 0, kWidth, kHeight}, canvas, settings.threads, nullptr);
}

void run(const uint8_t* data, size_t size) {
    Input input(data, size);
    const uint8_t flags = input.byte();
    EncodeSettings settings;
    settings.effort = 1 + (flags & 3);
    settings.progressive = flags >> 2 & 1;
    settings.threads = 1 + (flags >> 3 & 1);
    settings.quality = 1 + input.byte() % kQualities;
    settings.tile = kTile;
    Bytes bytes = changed(input);
    make_hashes_right(bytes);
    Exact<uint8_t> file(bytes.data(), bytes.size());
    const auto model = loaded<aec::Model>(file, settings.threads);
    const auto encoder = loaded<Encoder>(file, settings.threads);
    AEC_REQUIRE(model || !encoder);
    if (encoder) code(*encoder, *model, settings);
}

}  // namespace
}  // namespace aec::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    aec::fuzz::run(data, size);
    return 0;
}
