#include "web/packed_model.h"

#include <zlib.h>

#include <cstring>

#include "rans/coder_cpu.h"
#include "rans/tables.h"

namespace aec::web {
namespace {

constexpr uint8_t kMagic[] = {0xD7, 0x41, 0x45, 0x4D};
constexpr int kVersion = 1, kHeadBytes = 16;
constexpr uint32_t kMostPlain = 1 << 26;
constexpr uint64_t kMostModel = 1 << 28;
enum Method { kPlain, kSmooth, kCoded };

[[noreturn]] void damaged(const std::string& what) { throw Error(ErrorKind::kModel, "packed model: " + what); }

uint32_t number_at(const uint8_t* p) { return p[0] | p[1] << 8 | p[2] << 16 | static_cast<uint32_t>(p[3]) << 24; }

class Reader {
public:
    explicit Reader(Span data) : data_(data) {}
    const uint8_t* take(uint64_t n) {
        if (n > data_.size - at_) damaged("it ends early");
        at_ += n;
        return data_.data + at_ - n;
    }
    uint8_t byte() { return *take(1); }
    uint32_t number() { return number_at(take(4)); }
    bool at_end() const { return at_ == data_.size; }

private:
    Span data_;
    size_t at_ = 0;
};

std::vector<uint8_t> inflated(Span packed, uint32_t size) {
    if (size > kMostPlain) damaged("its plain part would have " + std::to_string(size) + " bytes");
    std::vector<uint8_t> out(size);
    z_stream stream = {};
    stream.next_in = const_cast<uint8_t*>(packed.data);
    stream.avail_in = static_cast<uInt>(packed.size);
    stream.next_out = out.data();
    stream.avail_out = size;
    if (inflateInit(&stream) != Z_OK) throw std::bad_alloc();
    const int result = inflate(&stream, Z_FINISH);
    inflateEnd(&stream);
    if (result != Z_STREAM_END || stream.total_out != size) damaged("its plain part does not inflate");
    return out;
}

std::shared_ptr<const Tables> tables_in(Reader& plain) {
    std::vector<uint16_t> freqs(kIndexCount * kMaxAlphabet);
    const uint8_t* p = plain.take(2 * freqs.size());
    for (size_t i = 0; i < freqs.size(); ++i) freqs[i] = static_cast<uint16_t>(p[2 * i] | p[2 * i + 1] << 8);
    const uint8_t *limits = plain.take(kIndexCount), *raw_bits = plain.take(kIndexCount);
    try {
        return make_tables(freqs.data(), limits, raw_bits);
    } catch (const std::invalid_argument& e) {
        damaged(e.what());
    }
}

class Unpacker {
public:
    Unpacker(Span plain, Span payload) : plain_(plain), head_bytes_(plain_.number()), head_(plain_.take(head_bytes_)) {
        out_.assign(head_, head_ + head_bytes_);
        decoder_ = std::make_unique<Decoder>(tables_in(plain_), payload.data, payload.size);
        check(decoder_->fault());
    }

    std::vector<uint8_t> run() {
        for (uint32_t left = plain_.number(); left > 0; --left) {
            const int method = plain_.byte();
            const uint64_t width = plain_.byte(), rows = plain_.number(), columns = plain_.number();
            if (width == 0 || width > 8 || (method == kSmooth && width != 2) || (method == kCoded && width > 2))
                damaged("an element of an unknown size");
            if (columns != 0 && rows > kMostModel / columns) damaged("a tensor is too large");
            const uint64_t n = rows * columns, start = out_.size();
            if (start + n * width > kMostModel) damaged("it is too large");
            out_.resize(start + n * width);
            uint8_t* const out = out_.data() + start;
            if (method == kCoded)
                decode(rows, columns, width, out);
            else if (method == kPlain || method == kSmooth)
                interleave(n, width, out);
            else
                damaged("an unknown method " + std::to_string(method));
            if (method == kSmooth) integrate(rows, columns, out);
        }
        check(decoder_->finish());
        if (!plain_.at_end()) damaged("its plain part goes on behind the last tensor");
        return std::move(out_);
    }

private:
    static void check(const Fault& fault) {
        if (fault) damaged(words_of(fault));
    }
    static int16_t value_at(const uint8_t* p) { return static_cast<int16_t>(p[0] | p[1] << 8); }
    static void put(uint8_t* p, int value) {
        p[0] = static_cast<uint8_t>(value);
        p[1] = static_cast<uint8_t>(value >> 8);
    }

    void interleave(uint64_t n, uint64_t width, uint8_t* out) {
        const uint8_t* planes = plain_.take(n * width);
        for (uint64_t byte = 0; byte < width; ++byte)
            for (uint64_t i = 0; i < n; ++i) out[i * width + byte] = *planes++;
    }

    void integrate(uint64_t rows, uint64_t columns, uint8_t* values) {
        for (uint64_t i = columns; i < rows * columns; ++i) {
            uint8_t* const here = values + 2 * i;
            const int above = value_at(here - 2 * columns);
            const int second = i < 2 * columns ? 0 : value_at(here - 4 * columns);
            put(here, value_at(here) + 2 * above - second);
        }
    }

    void decode(uint64_t rows, uint64_t columns, uint64_t width, uint8_t* out) {
        const int low_bits = plain_.byte();
        if (low_bits > 1) damaged(std::to_string(low_bits) + " low bits");
        const uint8_t *row = plain_.take(rows), *column = plain_.take(columns);
        const uint8_t* low = low_bits ? plain_.take((rows * columns + 7) / 8) : nullptr;
        std::vector<uint8_t> indexes(rows * columns);
        std::vector<int16_t> symbols(rows * columns);
        for (uint64_t y = 0; y < rows; ++y)
            for (uint64_t x = 0; x < columns; ++x) {
                const int index = (static_cast<int8_t>(row[y]) + static_cast<int8_t>(column[x])) >> 1;
                indexes[y * columns + x] = static_cast<uint8_t>(std::clamp(index, 1, kIndexCount - 1));
            }
        check(decoder_->decode(indexes.data(), indexes.size(), 1, symbols.data()));
        for (uint64_t i = 0; i < symbols.size(); ++i) {
            const int value = low ? symbols[i] * 2 + (low[i / 8] >> i % 8 & 1) : symbols[i];
            if (width == 1)
                out[i] = static_cast<uint8_t>(value);
            else
                put(out + 2 * i, value);
        }
    }

    Reader plain_;
    const uint32_t head_bytes_;
    const uint8_t* const head_;
    std::unique_ptr<Decoder> decoder_;
    std::vector<uint8_t> out_;
};

}  // namespace

bool is_packed_model(Span data) {
    return data.size >= sizeof kMagic && std::memcmp(data.data, kMagic, sizeof kMagic) == 0;
}

std::vector<uint8_t> unpack_model(Span packed) {
    if (!is_packed_model(packed)) damaged("it does not begin as one");
    if (packed.size < kHeadBytes) damaged("it ends early");
    if (packed.data[4] != kVersion) damaged("version " + std::to_string(packed.data[4]) + ", but this reads version 1");
    const uint32_t size = number_at(packed.data + 8), stored = number_at(packed.data + 12);
    if (stored > packed.size - kHeadBytes) damaged("it ends early");
    const std::vector<uint8_t> plain = inflated({packed.data + kHeadBytes, stored}, size);
    const Span payload = {packed.data + kHeadBytes + stored, packed.size - kHeadBytes - stored};
    return Unpacker({plain.data(), plain.size()}, payload).run();
}

}  // namespace aec::web
