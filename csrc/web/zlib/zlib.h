// What this library calls of zlib, for builds where there is no zlib: WebAssembly. Only that: CRC-32, and inflating a
// whole zlib stream (RFC 1950, 1951) in one call, from one buffer to another. The names and results are zlib's. It does
// not compress: compress2 makes a stream that is longer than what is in it, so that encoders keep the bytes as they are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

using uInt = unsigned;
using uLong = unsigned long;
using uLongf = unsigned long;
using Bytef = unsigned char;

constexpr int Z_OK = 0, Z_STREAM_END = 1, Z_NEED_DICT = 2, Z_DATA_ERROR = -3, Z_MEM_ERROR = -4, Z_BUF_ERROR = -5;
constexpr int Z_FINISH = 4, Z_BEST_COMPRESSION = 9;

struct z_stream {
    const Bytef* next_in;
    uInt avail_in;
    uLong total_in;
    Bytef* next_out;
    uInt avail_out;
    uLong total_out;
};

namespace aec::zlib {

// The CRCs of single bytes, and of these bytes with 1 to 3 zero bytes behind them, so that 4 bytes are read at a time.
struct CrcTables {
    uint32_t of[4][256];
    CrcTables() : of{} {
        for (uint32_t byte = 0; byte < 256; ++byte) {
            uint32_t crc = byte;
            for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
            of[0][byte] = crc;
        }
        for (int zeros = 1; zeros < 4; ++zeros)
            for (int byte = 0; byte < 256; ++byte)
                of[zeros][byte] = of[zeros - 1][byte] >> 8 ^ of[0][of[zeros - 1][byte] & 255];
    }
};
inline const CrcTables kCrc;

// A Huffman code in its canonical form: how many codes have each length, and the symbols in the order of their codes.
class Code {
public:
    // Returns whether the lengths, 0..15, are those of a complete code, or of a single symbol of length 1.
    bool make(const uint8_t* lengths, int n) {
        counts_.fill(0);
        for (int i = 0; i < n; ++i) ++counts_[lengths[i]];
        int left = 1, used = n - counts_[0];
        counts_[0] = 0;
        std::array<uint16_t, 16> next{};
        for (int length = 1; length < 16; ++length) {
            left = 2 * left - counts_[length];
            if (left < 0) return false;
            if (length < 15) next[length + 1] = next[length] + counts_[length];
        }
        for (int i = 0; i < n; ++i)
            if (lengths[i]) symbols_[next[lengths[i]]++] = static_cast<uint16_t>(i);
        return left == 0 || (used == 1 && counts_[1] == 1) || used == 0;
    }

    // bit(): returns the next bit, or a negative number at the end of the data. Returns a negative number then, and for
    // bits that are no code.
    template <class Bit>
    int read(Bit bit) const {
        int code = 0, first = 0, index = 0;
        for (int length = 1; length < 16; ++length) {
            const int b = bit();
            if (b < 0) return -1;
            code |= b;
            const int count = counts_[length];
            if (code - count < first) return symbols_[index + (code - first)];
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        return -1;
    }

private:
    std::array<uint16_t, 16> counts_{};
    std::array<uint16_t, 288> symbols_{};
};

inline uint32_t adler(const Bytef* p, const Bytef* end) {
    uint32_t a = 1, b = 0;
    while (p != end) {
        for (int n = 0; n < 5552 && p != end; ++n) b += a += *p++;  // as many as 32 bits hold without a remainder
        a %= 65521;
        b %= 65521;
    }
    return b << 16 | a;
}

class Inflater {
public:
    explicit Inflater(z_stream& stream)
        : in_(stream.next_in), in_end_(stream.next_in + stream.avail_in), begin_(stream.next_out), out_(begin_),
          out_end_(begin_ + stream.avail_out) {}

    int run() {
        const int method = byte(), flags = byte();
        if (flags < 0) return Z_BUF_ERROR;
        if ((method & 15) != 8 || method >> 4 > 7 || (method * 256 + flags) % 31 != 0) return Z_DATA_ERROR;
        if (flags & 32) return Z_NEED_DICT;
        for (bool last = false; !last;) {
            const int head = bits(3);
            if (head < 0) return Z_BUF_ERROR;
            last = head & 1;
            const int type = head >> 1;
            const int result = type == 0 ? stored() : type == 1 ? fixed() : type == 2 ? dynamic() : Z_DATA_ERROR;
            if (result != Z_OK) return result;
        }
        count_ = 0;  // the checksum begins at a whole byte
        uint32_t wanted = 0;
        for (int i = 0; i < 4; ++i) {
            const int b = byte();
            if (b < 0) return Z_BUF_ERROR;
            wanted = wanted << 8 | static_cast<uint32_t>(b);
        }
        return wanted == adler(begin_, out_) ? Z_STREAM_END : Z_DATA_ERROR;
    }

    void report(z_stream& stream) const {
        stream.total_in += in_ - stream.next_in;
        stream.total_out += out_ - begin_;
        stream.next_in = in_;
        stream.avail_in = static_cast<uInt>(in_end_ - in_);
        stream.next_out = out_;
        stream.avail_out = static_cast<uInt>(out_end_ - out_);
    }

private:
    int byte() { return in_ == in_end_ ? -1 : *in_++; }
    int bit() {
        if (count_ == 0) {
            const int b = byte();
            if (b < 0) return -1;
            held_ = b;
            count_ = 8;
        }
        --count_;
        const int b = held_ & 1;
        held_ >>= 1;
        return b;
    }
    int bits(int n) {
        int value = 0;
        for (int i = 0; i < n; ++i) {
            const int b = bit();
            if (b < 0) return -1;
            value |= b << i;
        }
        return value;
    }
    bool put(int value) {
        if (out_ == out_end_) return false;
        *out_++ = static_cast<Bytef>(value);
        return true;
    }

    int stored() {
        count_ = 0;
        int size[4];
        for (int& b : size)
            if ((b = byte()) < 0) return Z_BUF_ERROR;
        const int n = size[0] | size[1] << 8;
        if ((n ^ 0xFFFF) != (size[2] | size[3] << 8)) return Z_DATA_ERROR;
        for (int i = 0; i < n; ++i) {
            const int b = byte();
            if (b < 0 || !put(b)) return Z_BUF_ERROR;
        }
        return Z_OK;
    }

    int fixed() {
        uint8_t lengths[288];
        for (int i = 0; i < 288; ++i) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
        letters_.make(lengths, 288);
        for (int i = 0; i < 30; ++i) lengths[i] = 5;
        distances_.make(lengths, 30);  // two of the 32 codes mean nothing
        return codes();
    }

    int dynamic() {
        static constexpr uint8_t kOrder[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
        const int letters = bits(5) + 257, distances = bits(5) + 1, n = bits(4) + 4;
        if (n < 4) return Z_BUF_ERROR;
        if (letters > 286 || distances > 30) return Z_DATA_ERROR;
        uint8_t lengths[320] = {};
        for (int i = 0; i < n; ++i) {
            const int length = bits(3);
            if (length < 0) return Z_BUF_ERROR;
            lengths[kOrder[i]] = static_cast<uint8_t>(length);
        }
        if (!letters_.make(lengths, 19)) return Z_DATA_ERROR;
        for (int i = 0; i < letters + distances;) {
            const int symbol = letters_.read([this] { return bit(); });
            if (symbol < 0) return in_ == in_end_ ? Z_BUF_ERROR : Z_DATA_ERROR;
            if (symbol < 16) {
                lengths[i++] = static_cast<uint8_t>(symbol);
                continue;
            }
            const int more = bits(symbol == 16 ? 2 : symbol == 17 ? 3 : 7);
            if (more < 0) return Z_BUF_ERROR;
            const int repeat = more + (symbol == 18 ? 11 : 3);
            if ((symbol == 16 && i == 0) || i + repeat > letters + distances) return Z_DATA_ERROR;
            const uint8_t length = symbol == 16 ? lengths[i - 1] : 0;
            for (int k = 0; k < repeat; ++k) lengths[i++] = length;
        }
        if (lengths[256] == 0 || !letters_.make(lengths, letters) || !distances_.make(lengths + letters, distances))
            return Z_DATA_ERROR;
        return codes();
    }

    int codes() {
        static constexpr uint16_t kLengths[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                                31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
        static constexpr uint8_t kMoreLength[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                                  2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
        for (;;) {
            const int letter = letters_.read([this] { return bit(); });
            if (letter < 0) return in_ == in_end_ ? Z_BUF_ERROR : Z_DATA_ERROR;
            if (letter == 256) return Z_OK;
            if (letter < 256) {
                if (!put(letter)) return Z_BUF_ERROR;
                continue;
            }
            if (letter > 285) return Z_DATA_ERROR;
            const int more_length = bits(kMoreLength[letter - 257]);
            const int code = distances_.read([this] { return bit(); });
            if (more_length < 0 || code < 0) return in_ == in_end_ ? Z_BUF_ERROR : Z_DATA_ERROR;
            if (code > 29) return Z_DATA_ERROR;
            const int more_bits = code < 2 ? 0 : code / 2 - 1;
            const int more_distance = bits(more_bits);
            if (more_distance < 0) return Z_BUF_ERROR;
            const int distance = (code < 2 ? code : (2 + code % 2) << more_bits) + more_distance + 1;
            if (distance > out_ - begin_) return Z_DATA_ERROR;
            for (int n = kLengths[letter - 257] + more_length; n > 0; --n)
                if (!put(out_[-distance])) return Z_BUF_ERROR;
        }
    }

    const Bytef *in_, *in_end_;
    Bytef *begin_, *out_, *out_end_;
    int held_ = 0, count_ = 0;
    Code letters_, distances_;
};

}  // namespace aec::zlib

inline uLong crc32_z(uLong before, const Bytef* data, size_t n) {
    if (data == nullptr) return 0;
    const auto& of = aec::zlib::kCrc.of;
    uint32_t crc = ~static_cast<uint32_t>(before);
    for (; n >= 4; n -= 4, data += 4) {
        crc ^= data[0] | data[1] << 8 | data[2] << 16 | static_cast<uint32_t>(data[3]) << 24;
        crc = of[3][crc & 255] ^ of[2][crc >> 8 & 255] ^ of[1][crc >> 16 & 255] ^ of[0][crc >> 24];
    }
    for (; n > 0; --n) crc = crc >> 8 ^ of[0][(crc ^ *data++) & 255];
    return ~crc;
}

inline uLong crc32(uLong before, const Bytef* data, uInt n) { return crc32_z(before, data, n); }

inline int inflateInit(z_stream*) { return Z_OK; }
inline int inflateEnd(z_stream*) { return Z_OK; }
// Only with the whole stream at hand and room for all of its data: Z_BUF_ERROR if one of them is missing.
inline int inflate(z_stream* stream, int) {
    aec::zlib::Inflater inflater(*stream);
    const int result = inflater.run();
    inflater.report(*stream);
    return result;
}

inline uLong compressBound(uLong n) { return n + 5 * (n / 65535 + 1) + 6; }
inline int compress2(Bytef* out, uLongf* size, const Bytef* data, uLong n, int) {
    if (*size < compressBound(n)) return Z_BUF_ERROR;
    const Bytef *const begin = out, *const end = data + n;
    const uint32_t check = aec::zlib::adler(data, end);
    *out++ = 0x78;
    *out++ = 0x01;
    do {
        const uLong block = end - data < 65535 ? end - data : 65535;
        *out++ = data + block == end;
        for (const uLong number : {block, ~block})
            for (int shift = 0; shift < 16; shift += 8) *out++ = static_cast<Bytef>(number >> shift);
        for (uLong i = 0; i < block; ++i) *out++ = *data++;
    } while (data != end);
    for (int shift = 24; shift >= 0; shift -= 8) *out++ = static_cast<Bytef>(check >> shift);
    *size = static_cast<uLong>(out - begin);
    return Z_OK;
}
