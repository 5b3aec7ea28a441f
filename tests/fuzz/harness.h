// What the fuzz targets share: reading an input, valid tables, arrays that end exactly at their last element, coding
// with every instruction set, and a check that stops the fuzzer.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/isa.h"
#include "rans/coder_cpu.h"
#include "rans/tables.h"

#define AEC_REQUIRE(condition) \
    ((condition) ? void() : ::aec::fuzz::fail(#condition, __FILE__, __LINE__))

namespace aec::fuzz {

[[noreturn]] inline void fail(const char* condition, const char* file, int line) {
    std::fprintf(stderr, "%s:%d: broken: %s\n", file, line, condition);
    std::abort();
}

// Reads the fields of an input one after the other. After its end all bytes are 0, so that every input is valid.
class Input {
public:
    Input(const uint8_t* data, size_t size) : data_(data), left_(size) {}
    uint8_t byte() { return left_ == 0 ? 0 : (--left_, *data_++); }
    uint16_t word() {
        const uint8_t low = byte();
        return static_cast<uint16_t>(low | byte() << 8);
    }
    const uint8_t* rest() const { return data_; }
    size_t left() const { return left_; }

private:
    const uint8_t* data_;
    size_t left_;
};

// An array in a heap allocation of exactly its size, so that the sanitizer notices any access beyond its end. With
// AEC_FUZZ_SELF_TEST the allocation is a byte too short, and the fuzzer must notice that.
template <class T>
class Exact {
public:
    explicit Exact(size_t n) : n_(n), data_(static_cast<T*>(::operator new(bytes(n)))) {}
    Exact(const T* data, size_t n) : Exact(n) {
        if (n > 0) std::memcpy(data_, data, bytes(n));
    }
    ~Exact() { ::operator delete(data_); }
    Exact(const Exact&) = delete;
    Exact& operator=(const Exact&) = delete;
    T* data() { return data_; }
    size_t size() const { return n_; }

private:
    static size_t bytes(size_t n) {
#ifdef AEC_FUZZ_SELF_TEST
        return n > 0 ? n * sizeof(T) - 1 : 0;
#else
        return n * sizeof(T);
#endif
    }
    size_t n_;
    T* data_;
};

inline std::vector<Isa> isas() {
    std::vector<Isa> found;
    for (int i = 0; i < kIsaCount; ++i)
        if (has(static_cast<Isa>(i))) found.push_back(static_cast<Isa>(i));
    return found;
}

inline bool same(const Fault& a, const Fault& b) { return a.status == b.status && a.at == b.at && a.found == b.found; }

// -------------------------------------------------------------------------------------------------------------- tables

// The arguments of make_tables.
struct Model {
    uint16_t freqs[kIndexCount][kMaxAlphabet] = {};
    uint8_t limits[kIndexCount] = {};
    uint8_t raw_bits[kIndexCount] = {};

    std::shared_ptr<Tables> make() {
        Exact<uint16_t> f(freqs[0], kIndexCount * kMaxAlphabet);
        Exact<uint8_t> l(limits, kIndexCount), r(raw_bits, kIndexCount);
        return make_tables(f.data(), l.data(), r.data());
    }

    // Fills a row with valid frequencies: each is 1 plus a share of the rest of 2^14 in proportion to its weight. What
    // is left after rounding goes to letter rest % n.
    void fit(int index, int limit, int raw, const uint32_t* weights, int rest) {
        const int n = 2 * limit + 2;
        uint64_t total = 0;
        for (int a = 0; a < n; ++a) total += weights[a];
        uint32_t left = kScale - n;
        for (int a = 0; a < n; ++a) {
            const uint32_t share = total == 0 ? 0 : static_cast<uint32_t>(weights[a] * uint64_t{kScale - n} / total);
            freqs[index][a] = static_cast<uint16_t>(1 + share);
            left -= share;
        }
        freqs[index][rest % n] = static_cast<uint16_t>(freqs[index][rest % n] + left);
        std::fill(freqs[index] + n, freqs[index] + kMaxAlphabet, uint16_t{0});
        limits[index] = static_cast<uint8_t>(limit);
        raw_bits[index] = static_cast<uint8_t>(raw);
    }
};

// A valid model. number: 0..255. number % 6 is the shape of the distributions; the limits and the random weights depend
// on `number` too.
inline Model preset(int number) {
    constexpr int kLimits[] = {0, 1, 4, 10, 31}, kRawBits[] = {0, 0, 1, 3, 8};
    Model model;
    uint32_t noise = 0x9E3779B9u * (number + 1);
    for (int index = 1; index < kIndexCount; ++index) {
        const int limit = kLimits[(index + number) % 5], n = 2 * limit + 2, escape = n - 1;
        uint32_t weights[kMaxAlphabet] = {};
        for (int a = 0; a < n; ++a) {
            noise = noise * 1664525 + 1013904223;
            const int distance = a == escape ? limit + 1 : std::abs(a - limit);
            switch (number % 6) {
                case 0: weights[a] = 1u << std::max(0, 30 - distance * (1 + index % 7)); break;  // as in a real model
                case 1: weights[a] = 1; break;
                case 2: weights[a] = a == limit; break;
                case 3: weights[a] = a == escape; break;
                case 4: weights[a] = a == 0; break;
                default: weights[a] = noise >> (8 + (noise & 15)); break;
            }
        }
        model.fit(index, limit, kRawBits[(index / 5) % 5], weights, noise >> 16);
    }
    return model;
}

// The largest and the smallest symbol that is coded without an escape.
inline int upper_edge(const Tables& tables, int index) {
    return ((tables.limits[index] + 1) << tables.raw_bits[index]) - 1;
}
inline int lower_edge(const Tables& tables, int index) { return -(tables.limits[index] << tables.raw_bits[index]); }

// ------------------------------------------------------------------------------------------------ all instruction sets

// The result of decoding a tile: the symbols of all segments before the fault, if there was one.
struct Outcome {
    Fault fault;
    std::vector<int16_t> symbols;
};

inline Outcome decode_once(const std::shared_ptr<const Tables>& tables, const std::vector<uint8_t>& payload,
                           const std::vector<uint8_t>& indexes, const Vector<uint64_t>& segments, int threads) {
    auto bytes = std::make_unique<Exact<uint8_t>>(payload.data(), payload.size());
    Decoder decoder(tables, bytes->data(), bytes->size());
    bytes.reset();  // the decoder must have copied them
    Outcome outcome;
    if ((outcome.fault = decoder.fault())) return outcome;
    size_t position = 0;
    for (const uint64_t n : segments) {
        Exact<uint8_t> in(indexes.data() + position, n);
        Exact<int16_t> out(n);
        outcome.fault = decoder.decode(in.data(), n, threads, out.data());
        if (outcome.fault) {
            const bool is_final = is_corruption(outcome.fault.status);
            AEC_REQUIRE(same(decoder.fault(), is_final ? outcome.fault : Fault{}));
            if (is_final) AEC_REQUIRE(same(decoder.decode(in.data(), n, threads, out.data()), outcome.fault));
            if (is_final) AEC_REQUIRE(same(decoder.finish(), outcome.fault));
            return outcome;
        }
        outcome.symbols.insert(outcome.symbols.end(), out.data(), out.data() + n);
        position += n;
    }
    outcome.fault = decoder.finish();
    return outcome;
}

// Decodes with every instruction set of this machine, and requires that all give the same symbols and the same fault.
inline Outcome decode_everywhere(const std::shared_ptr<const Tables>& tables, const std::vector<uint8_t>& payload,
                                 const std::vector<uint8_t>& indexes, const Vector<uint64_t>& segments,
                                 int threads) {
    set_isa(Isa::kScalar);
    const Outcome expected = decode_once(tables, payload, indexes, segments, 1);
    for (const Isa isa : isas()) {
        set_isa(isa);
        const Outcome found = decode_once(tables, payload, indexes, segments, threads);
        AEC_REQUIRE(same(found.fault, expected.fault));
        AEC_REQUIRE(found.symbols == expected.symbols);
    }
    return expected;
}

// Encodes with every instruction set of this machine, and requires that all give the same payload or the same fault.
inline Fault encode_everywhere(const Tables& tables, const std::vector<int16_t>& symbols,
                               const std::vector<uint8_t>& indexes, const Vector<uint64_t>& segments,
                               int lanes_log2, int threads, std::vector<uint8_t>& bytes) {
    Exact<int16_t> in(symbols.data(), symbols.size());
    Exact<uint8_t> in_indexes(indexes.data(), indexes.size());
    Payload payload;
    set_isa(Isa::kScalar);
    const Fault expected = encode_cpu(tables, in.data(), in_indexes.data(), segments, lanes_log2, 1, payload);
    if (!expected) bytes.assign(payload.data, payload.data + payload.size);
    for (const Isa isa : isas()) {
        set_isa(isa);
        Payload again;
        const Fault found = encode_cpu(tables, in.data(), in_indexes.data(), segments, lanes_log2, threads, again);
        AEC_REQUIRE(same(found, expected));
        if (expected) continue;
        AEC_REQUIRE(again.size == bytes.size());
        AEC_REQUIRE(std::memcmp(again.data, bytes.data(), bytes.size()) == 0);
    }
    return expected;
}

// Requires that decoded symbols are in the range that FORMAT §5 can express, and that the payload is what the encoder
// writes for them. The format allows only one code for a symbol and one form for a length, so there is no other
// payload.
inline void require_canonical(const Tables& tables, const std::vector<uint8_t>& payload, const Outcome& outcome,
                              const std::vector<uint8_t>& indexes, const Vector<uint64_t>& segments) {
    bool writable = !outcome.fault;
    for (size_t i = 0; i < outcome.symbols.size(); ++i) {
        const int symbol = outcome.symbols[i], reach = (1 << 14) - 1;  // e + 1 for the largest e of an escape
        AEC_REQUIRE(symbol <= upper_edge(tables, indexes[i]) + reach);
        AEC_REQUIRE(symbol >= lower_edge(tables, indexes[i]) - reach);
        writable = writable && std::abs(symbol) <= kMaxSymbol;
    }
    if (!writable) return;
    std::vector<uint8_t> again;
    AEC_REQUIRE(!encode_everywhere(tables, outcome.symbols, indexes, segments, payload[0], 1, again));
    AEC_REQUIRE(again == payload);
}

}  // namespace aec::fuzz
