// Runs all of csrc's networks and its coders on pictures, and prints hashes of the results, a line for each instruction set and number
// of threads. It is compiled for machines on which the Python extension is not built, so that their results can be
// compared with this machine's. tests/test_other_machines.py writes the input, which is read from stdin. Its numbers
// are little-endian, and so are those that are hashed, whatever the machine's are.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/isa.h"
#include "engine/analysis.h"
#include "engine/nets_cpu.h"
#include "engine/projection.h"
#include "engine/synthesis.h"
#include "lossless/lossless.h"
#include "rans/coder_cpu.h"
#include "rans/parts.h"
#include "rans/tables.h"
#include "tile/perceived_error.h"

namespace {

class Input {
public:
    int32_t number() {
        int32_t n;
        read(&n, sizeof n, sizeof n);
        return n;
    }
    std::string text() {
        std::string s(number(), ' ');
        read(s.data(), s.size(), 1);
        return s;
    }
    // n bytes, which are numbers of `size` bytes each.
    void read(void* to, size_t n, size_t size) {
        if (std::fread(to, 1, n, stdin) != n) throw std::runtime_error("the input ends too early");
        const uint16_t one = 1;
        if (*reinterpret_cast<const char*>(&one) == 1) return;
        for (char* p = static_cast<char*>(to); p != static_cast<char*>(to) + n; p += size) std::reverse(p, p + size);
    }
};

template <class Values>
uint64_t hash_of(const Values& values) {  // FNV-1a
    uint64_t hash = 14695981039346656037u;
    for (const auto value : values)
        for (size_t i = 0; i < sizeof value; ++i) hash = (hash ^ static_cast<uint64_t>(value >> 8 * i & 255)) * 1099511628211u;
    return hash;
}

struct Model {
    aec::NetsConfig nets;
    aec::TransformConfig transforms;
    std::vector<std::vector<char>> data;
    aec::Tensors all;

    explicit Model(Input& in) {
        nets = {in.number(), in.number(), in.number(), in.number()};
        transforms = {nets.latents, in.number(), in.number(), in.number(), in.number()};
        constexpr int kBytes[] = {2, 4, 1};
        for (int n = in.number(); n > 0; --n) {
            const std::string name = in.text();
            const int type = in.number();
            std::vector<int64_t> shape(in.number());
            size_t size = kBytes[type];
            for (int64_t& side : shape) size *= side = in.number();
            data.emplace_back(size);
            in.read(data.back().data(), size, kBytes[type]);
            all[name] = {static_cast<aec::Tensor::Type>(type), shape, data.back().data()};
        }
    }

    // The tensors whose names begin with `net.`, without that prefix.
    aec::Tensors of(const std::string& net) const {
        aec::Tensors some;
        for (const auto& [name, tensor] : all)
            if (name.rfind(net + ".", 0) == 0) some[name.substr(net.size() + 1)] = tensor;
        return some;
    }
};

template <class Sample>
uint64_t pixels(const aec::Synthesis& synthesis, aec::Synthesis::Picture picture, const std::vector<int16_t>& y,
                const aec::Rect& area, int threads) {
    const aec::Synthesis::Latents latents = {
        {0, picture.rows, 0, picture.columns}, y.data(), static_cast<ptrdiff_t>(picture.columns) * synthesis.latents()};
    const int channels = picture.gray ? 1 : 3;
    std::vector<Sample> out(static_cast<size_t>(area.rows()) * area.columns() * channels);
    synthesis.run(picture, latents, area, out.data(), static_cast<ptrdiff_t>(area.columns()) * channels, threads);
    return hash_of(out);
}

aec::Tables tables_of(Input& in) {
    std::vector<uint16_t> freqs(aec::kIndexCount * aec::kMaxAlphabet);
    std::vector<uint8_t> limits(aec::kIndexCount), raw_bits(aec::kIndexCount);
    in.read(freqs.data(), freqs.size() * sizeof(uint16_t), sizeof(uint16_t));
    in.read(limits.data(), limits.size(), 1);
    in.read(raw_bits.data(), raw_bits.size(), 1);
    return *aec::make_tables(freqs.data(), limits.data(), raw_bits.data());
}

// Decodes a payload with a fresh walk. Returns the latents.
std::vector<int16_t> latents_of(const aec::Tables& tables, const std::string& payload, aec::Walk& walk, size_t n) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(payload.data());
    aec::Decoder decoder(std::make_shared<aec::Tables>(tables), bytes, payload.size());
    for (int k = 0; k < walk.segments(); ++k) {
        std::vector<uint8_t> indexes(walk.segment_size(k));
        std::vector<int16_t> symbols(indexes.size());
        walk.predict(k, indexes.data());
        if (decoder.decode(indexes.data(), indexes.size(), 1, symbols.data()))
            throw std::runtime_error("the payload cannot be decoded");
        walk.accept(k, symbols.data());
    }
    if (decoder.finish()) throw std::runtime_error("the payload has more than its symbols");
    std::vector<int16_t> y(n);
    walk.latents(y.data());
    return y;
}

// Codes the low bytes of numbers as an exact picture, and decodes it again. Returns the payload.
aec::Vector<uint8_t> exact_of(const std::vector<int16_t>& picture, int rows, int columns) {
    std::vector<uint16_t> samples;
    for (const int16_t value : picture) samples.push_back(value & 255);
    const aec::ExactPicture about = {columns, rows, 3, 8, 0};
    const aec::Vector<uint8_t> payload = aec::encode_exact(about, samples.data());
    std::vector<uint16_t> back(samples.size());
    if (aec::decode_exact(payload.data(), payload.size(), about, back.data()) || back != samples)
        throw std::runtime_error("the exact picture does not come back");
    return payload;
}

template <class Number, class Float>
Number bits_of(Float value) {
    static_assert(sizeof(Number) == sizeof(Float));
    Number bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

// Of the error of a picture that has less contrast, and of the slope. They are floats, of which each bit is to be the same.
uint64_t perceived(const std::vector<int16_t>& picture, int rows, int columns, int threads) {
    std::vector<uint16_t> decoded;
    for (const int16_t value : picture) decoded.push_back(static_cast<uint16_t>((value + 4080) * 7 + 1000));
    std::vector<float> slope(picture.size());
    aec::PerceivedError error(rows, columns, picture.data(), ptrdiff_t{3} * columns, threads);
    const double found = error.measure(decoded.data(), 3, slope.data(), threads);
    std::vector<uint32_t> bits;
    for (const float value : slope) bits.push_back(bits_of<uint32_t>(value));
    return hash_of(bits) ^ bits_of<uint64_t>(found);
}

}  // namespace

// Without an argument, runs everything with each instruction set that the machine has. With the name of an instruction
// set as the argument, runs less: only with that one, only in colour and full size, and without the projection.
int main(int argc, char** argv) {
    const std::string only = argc > 1 ? argv[1] : "";
    Input in;
    const Model model(in);
    const auto nets = std::make_shared<aec::Nets>(model.nets, model.of("entropy"));
    const aec::Analysis analysis(model.transforms, model.of("analysis"));
    const aec::HyperAnalysis hyper(model.nets.latents, model.nets.context, model.nets.hyper, model.of("hyper_analysis"));
    const aec::Synthesis synthesis(model.transforms, model.of("synthesis"));
    const aec::Projection projection(model.nets.latents, model.of("synthesis"));
    std::vector<int16_t> zones(aec::kIndexCount);
    in.read(zones.data(), zones.size() * sizeof(int16_t), sizeof(int16_t));
    const aec::Tables tables = tables_of(in);
    const std::vector<int16_t> none(aec::kIndexCount);  // hyperlatents have no dead zones
    for (int left = in.number(); left > 0; --left) {
        const int rows = 4 * in.number(), columns = 4 * in.number(), quality = in.number();  // of latents
        std::vector<int16_t> picture(static_cast<size_t>(rows) * columns * 16 * 16 * 3);
        in.read(picture.data(), picture.size() * sizeof(int16_t), sizeof(int16_t));
        // It has one implementation on all of these machines.
        const uint64_t exact = only.empty() ? hash_of(exact_of(picture, rows * 16, columns * 16)) : 0;
        for (int i = 0; i < aec::kIsaCount; ++i) {
            const auto isa = static_cast<aec::Isa>(i);
            if (!aec::has(isa) || (!only.empty() && only != aec::name_of(isa))) continue;
            aec::set_isa(isa);
#if defined(__wasm__)
            for (const int threads : {1}) {  // built without threads
#else
            for (const int threads : {1, 2}) {
#endif
                const aec::Rect whole = {0, rows, 0, columns};
                std::vector<int16_t> y(static_cast<size_t>(rows) * columns * model.nets.latents);
                analysis.run({rows, columns, quality}, {whole, picture.data(), ptrdiff_t{16} * columns * 3}, whole,
                             y.data(), threads);
                std::vector<int16_t> z(static_cast<size_t>(rows / 4) * (columns / 4) * model.nets.hyper);
                hyper.run(rows / 4, columns / 4, quality, y.data(), z.data(), threads);
                std::vector<int16_t> change(y.size());
                if (only.empty()) projection.run(rows, columns, picture.data(), change.data(), threads);
                std::printf("%s %d: %016llx %016llx %016llx", aec::name_of(isa), threads,
                            static_cast<unsigned long long>(hash_of(y)), static_cast<unsigned long long>(hash_of(z)),
                            static_cast<unsigned long long>(hash_of(change)));

                aec::Walk walk(nets, quality, rows, columns, threads);
                uint64_t symbols = 0;
                std::vector<int16_t> all_symbols;
                std::vector<uint8_t> all_indexes;
                aec::Vector<uint64_t> lengths;
                for (int k = 0; k < walk.segments(); ++k) {
                    std::vector<uint8_t> indexes(walk.segment_size(k));
                    std::vector<int16_t> chosen(indexes.size());
                    walk.predict(k, indexes.data());
                    walk.choose(k, k ? y.data() : z.data(), k ? zones.data() : none.data(), chosen.data());
                    symbols = symbols * 31 + hash_of(indexes) * 7 + hash_of(chosen);
                    all_symbols.insert(all_symbols.end(), chosen.begin(), chosen.end());
                    all_indexes.insert(all_indexes.end(), indexes.begin(), indexes.end());
                    lengths.push_back(chosen.size());
                }
                walk.latents(y.data());
                std::printf(" %016llx %016llx", static_cast<unsigned long long>(symbols),
                            static_cast<unsigned long long>(hash_of(y)));
                for (int log2 = 0; log2 < (only.empty() ? 4 : 1); ++log2) {
                    const int side = 16 >> log2;
                    const aec::Rect all = {0, rows * side, 0, columns * side};
                    const aec::Rect part = {all.y1 / 3, all.y1 / 3 + all.y1 / 2, all.x1 / 5, all.x1 / 5 + all.x1 / 2};
                    for (const bool gray : {false, true}) {
                        if (gray && !only.empty()) break;
                        const aec::Synthesis::Picture p = {rows, columns, quality, log2, log2 < 3, gray};
                        std::printf(" %016llx %016llx",
                                    static_cast<unsigned long long>(pixels<uint8_t>(synthesis, p, y, all, threads)),
                                    static_cast<unsigned long long>(pixels<uint16_t>(synthesis, p, y, part, threads)));
                    }
                }
                aec::Payload coded;
                if (aec::encode_cpu(tables, all_symbols.data(), all_indexes.data(), lengths, aec::kAutoLanes, threads, coded))
                    throw std::runtime_error("the symbols cannot be encoded");
                const std::string payload(reinterpret_cast<const char*>(coded.data), coded.size);
                aec::Walk again(nets, quality, rows, columns, threads);
                if (latents_of(tables, payload, again, y.size()) != y)
                    throw std::runtime_error("the payload decodes to other latents");
                const uint64_t eye = only.empty() ? perceived(picture, rows * 16, columns * 16, threads) : 0;
                std::printf(" %016llx %016llx %016llx\n", static_cast<unsigned long long>(eye),
                            static_cast<unsigned long long>(hash_of(payload)), static_cast<unsigned long long>(exact));
            }
        }
    }
    return 0;
}
