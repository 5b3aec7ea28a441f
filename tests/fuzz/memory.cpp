// A fuzz target for the caller's memory in the C interface: the input chooses what is done, and which allocation fails.
//
//   byte 0       the operation, modulo kOperations; bit 7: 3 threads, not 1
//   bytes 1, 2   which allocation fails, as a share of all that the operation needs; the first one without them
//   byte 3       odd: all that follow fail too
//
// If bytes 1 to 3 are 255, each allocation fails in turn, which takes minutes with the sanitizers.
//
// These count as errors: a crash; another status than that there is no memory; a result that is there although the call
// failed; memory that is not given back, or not to the function that it came from; a leak.
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "capi/aec.h"
#include "embedded/encoders.h"
#include "harness.h"

namespace aec::fuzz {
namespace {

using Data = std::vector<uint8_t>;

constexpr uint32_t kWidth = 20, kHeight = 12;
constexpr size_t kMark = 16;  // bytes before each block, which hold where it came from

// Counts, and fails where it is told to.
struct Heap {
    std::atomic<long> asked{0}, live{0};
    long first = -1;  // the number of the allocation that fails; -1: none
    bool all_after = false;

    void begin(long failing, bool and_all_after) {
        asked = 0;
        first = failing;
        all_after = and_all_after;
    }

    static void* allocate(void* user, size_t size) {
        Heap& heap = *static_cast<Heap*>(user);
        AEC_REQUIRE(size > 0);
        const long n = heap.asked++;
        if (heap.first >= 0 && (n == heap.first || (heap.all_after && n > heap.first))) return nullptr;
        char* const block = static_cast<char*>(std::malloc(size + kMark));
        AEC_REQUIRE(block != nullptr);
        std::memcpy(block, &user, sizeof user);
        ++heap.live;
        return block + kMark;
    }
    static void release(void* user, void* memory) {
        AEC_REQUIRE(memory != nullptr);
        char* const block = static_cast<char*>(memory) - kMark;
        AEC_REQUIRE(std::memcmp(block, &user, sizeof user) == 0);
        --static_cast<Heap*>(user)->live;
        std::free(block);
    }
    aec_allocator functions() { return {&allocate, &release, this}; }
};

Data file_at(const char* path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

int32_t keep(void* user, const void* data, size_t size) {
    const auto* bytes = static_cast<const uint8_t*>(data);
    static_cast<Data*>(user)->assign(bytes, bytes + size);
    return AEC_OK;
}

int32_t decode_embedded(void*, const aec_embedded_picture* picture) {
    std::memset(picture->pixels, 90, picture->stride * picture->height);
    return AEC_OK;
}

template <class Options>
Options made(void (*init)(Options*, size_t)) {
    Options options;
    init(&options, sizeof options);
    return options;
}

// A picture of 16 bits with alpha.
aec_picture picture() {
    static const std::vector<uint16_t> samples = [] {
        std::vector<uint16_t> noise(size_t{kWidth} * kHeight * 4);
        uint32_t state = 1;
        for (uint16_t& sample : noise) sample = static_cast<uint16_t>((state = state * 1664525 + 1013904223) >> 20);
        return noise;
    }();
    auto given = made(aec_picture_init);
    given.width = kWidth;
    given.height = kHeight;
    given.channels = AEC_CHANNELS_RGBA;
    given.depth = 16;
    given.pixels = samples.data();
    given.stride = kWidth * 8;
    given.size = samples.size() * 2;
    return given;
}

aec_status open_model(const aec_allocator* heap, uint32_t threads, aec_model** model, const Data& file) {
    auto options = made(aec_model_options_init);
    options.data = file.data();
    options.size = file.size();
    options.threads = threads;
    options.allocator = heap;
    return aec_model_open(&options, model, nullptr);
}

aec_status open_encoder(const aec_allocator* heap, uint32_t threads, aec_encoder** encoder) {
    auto options = made(aec_model_options_init);
    options.path = AEC_FUZZ_MODEL;
    options.threads = threads;
    options.allocator = heap;
    return aec_encoder_open(&options, encoder, nullptr);
}

const Data& model_file() {
    static const Data file = file_at(AEC_FUZZ_MODEL);
    return file;
}

const aec_model* model() {
    static aec_model* const loaded = [] {
        aec_model* found = nullptr;
        AEC_REQUIRE(open_model(nullptr, 1, &found, model_file()) == AEC_OK);
        return found;
    }();
    return loaded;
}

// The heap of the encoder below, which is never closed.
Heap& kept_heap() {
    static Heap heap;
    return heap;
}

aec_status encode(uint32_t threads, Data& out) {
    static const aec_encoder* const encoder = [] {
        const aec_allocator functions = kept_heap().functions();
        aec_encoder* loaded = nullptr;
        AEC_REQUIRE(open_encoder(&functions, 1, &loaded) == AEC_OK);
        return loaded;
    }();
    const aec_picture given = picture();
    auto options = made(aec_encode_options_init);
    options.tile = 64;
    options.effort = 3;
    options.threads = threads;
    const std::vector<uint8_t> map = {60}, icc(300, 7);
    options.map = {map.data(), map.size()};
    options.metadata[AEC_METADATA_ICC] = {icc.data(), icc.size()};
    return aec_encode_picture(encoder, &given, &options, &keep, &out, nullptr);
}

aec_status encode_exact(const aec_allocator* heap, uint32_t threads, Data& out) {
    const aec_picture given = picture();
    auto options = made(aec_exact_options_init);
    options.tile = 64;
    options.max_error = 2;
    options.threads = threads;
    options.allocator = heap;
    return aec_encode_exact(&given, &options, &keep, &out, nullptr);
}

// Reads and decodes all that a file has.
aec_status decode(const aec_allocator* heap, uint32_t threads, const Data& data) {
    Exact<uint8_t> exact(data.data(), data.size());
    auto open_options = made(aec_open_options_init);
    open_options.allocator = heap;
    aec_file* file = nullptr;
    aec_status status = aec_open_memory(exact.data(), exact.size(), &open_options, &file, nullptr);
    if (status != AEC_OK) {
        AEC_REQUIRE(file == nullptr);
        return status;
    }
    const uint8_t* block = nullptr;
    size_t size = 0;
    status = aec_get_metadata(file, AEC_METADATA_ICC, &block, &size, nullptr);
    if (status == AEC_OK) {
        auto options = made(aec_decode_options_init);
        options.threads = threads;
        options.embedded = &decode_embedded;
        auto pixels = made(aec_pixels_init);
        AEC_REQUIRE(aec_get_pixels(file, &options, &pixels, nullptr) == AEC_OK);
        std::vector<uint8_t> out(pixels.bytes);
        status = aec_decode_picture(file, model(), &options, out.data(), pixels.row_bytes, out.size(), nullptr);
    }
    aec_close(file);
    return status;
}

aec_status store(const aec_allocator* heap, Data& out) {
    static const ByteString png = [] {
        const std::vector<uint16_t> samples(30 * 20, 90);
        return encode_alpha(reinterpret_cast<const uint8_t*>(samples.data()), 30, 20, 16, 100);
    }();
    auto options = made(aec_store_options_init);
    options.embedded = &decode_embedded;
    options.allocator = heap;
    return aec_store_picture(png.data(), png.size(), &options, &keep, &out, nullptr);
}

const Data& coded(bool exact) {
    static const std::array<Data, 2> files = [] {
        std::array<Data, 2> made;
        AEC_REQUIRE(encode(1, made[0]) == AEC_OK && encode_exact(nullptr, 1, made[1]) == AEC_OK);
        return made;
    }();
    return files[exact];
}

constexpr int kEncode = 2, kOperations = 7;

aec_status run(int operation, const aec_allocator* heap, uint32_t threads) {
    Data out;
    aec_model* loaded = nullptr;
    aec_encoder* encoder = nullptr;
    aec_status status = AEC_OK;
    switch (operation) {
        case 0:
            status = open_model(heap, threads, &loaded, model_file());
            AEC_REQUIRE((status == AEC_OK) == (loaded != nullptr));
            aec_model_close(loaded);
            return status;
        case 1:
            status = open_encoder(heap, threads, &encoder);
            AEC_REQUIRE((status == AEC_OK) == (encoder != nullptr));
            aec_encoder_close(encoder);
            return status;
        case kEncode: status = encode(threads, out); break;
        case 3: status = encode_exact(heap, threads, out); break;
        case 4: status = store(heap, out); break;
        case 5: return decode(heap, threads, coded(false));
        default: return decode(heap, threads, coded(true));
    }
    AEC_REQUIRE((status == AEC_OK) == !out.empty());
    return status;
}

// Runs an operation whose allocation number `first` fails; returns how many there were.
long run_with(int operation, uint32_t threads, long first, bool all_after) {
    Heap own;
    Heap& heap = operation == kEncode ? kept_heap() : own;
    const long before = heap.live;
    heap.begin(first, all_after);
    const aec_allocator functions = heap.functions();
    const aec_status status = run(operation, &functions, threads);
    const bool has_failed = first >= 0 && heap.asked > first;
    AEC_REQUIRE(status == (has_failed ? AEC_ERROR_MEMORY : AEC_OK));
    AEC_REQUIRE(heap.live == before);
    const long asked = heap.asked;
    heap.begin(-1, false);
    return asked;
}

void fuzz(const uint8_t* data, size_t size) {
    if (size == 0) return;
    const int operation = (data[0] & 127) % kOperations;
    const uint32_t threads = data[0] & 128 ? 3 : 1;
    const bool each = size > 3 && data[1] == 255 && data[2] == 255 && data[3] == 255;
    const bool all_after = size > 3 && data[3] & 1;
    const int share = size > 2 ? data[1] | data[2] << 8 : 0;
    coded(false);  // makes the encoder
    const long n = run_with(operation, threads, -1, false);
    AEC_REQUIRE(n > 0);
    if (each)
        for (long first = 0; first < n; ++first) run_with(operation, threads, first, false);
    else
        run_with(operation, threads, share * n / 65536, all_after);
}

}  // namespace
}  // namespace aec::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    aec::fuzz::fuzz(data, size);
    return 0;
}
