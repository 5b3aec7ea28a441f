#include "model/model.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/parallel.h"
#include "model/sha256.h"
#include "rans/tables.h"

namespace aec {
namespace {

constexpr size_t kAlignment = 8;  // of the tensors in a model file
// From these levels on, small pictures leave the branch out (codec/coding/model_config.py says why).
constexpr float kLinearFrom4 = 32, kLinearFrom8 = 10;

std::string hex(const uint8_t* bytes, size_t n) {
    std::string text;
    for (size_t i = 0; i < n; ++i) {
        text += "0123456789abcdef"[bytes[i] >> 4];
        text += "0123456789abcdef"[bytes[i] & 15];
    }
    return text;
}

const std::string& entry_of(const std::map<std::string, std::string>& metadata, const std::string& name) {
    const auto found = metadata.find(name);
    if (found == metadata.end()) throw std::invalid_argument("its metadata lacks " + name);
    return found->second;
}

ModelId id_of(const std::string& sha256) {
    ModelId id = {};
    if (sha256.size() != 64 || sha256.find_first_not_of("0123456789abcdef") != std::string::npos)
        throw std::invalid_argument("decoder_sha256 is no SHA-256 in hexadecimal digits");
    for (size_t i = 0; i < id.size(); ++i) id[i] = static_cast<uint8_t>(std::stoi(sha256.substr(2 * i, 2), nullptr, 16));
    return id;
}

// SHA-256 over the configuration, and the name, type, shape and bytes of the decoder's tensors in the order of names.
std::string digest_of(const Safetensors& file) {
    Sha256 hash;
    hash.update(entry_of(file.metadata, "aec_model"));
    for (const auto& [name, tensor] : file.tensors) {
        if (is_encoders(name)) continue;
        hash.update("\n" + name + " " + name_of(tensor.type) + " " + text_of(tensor.shape) + "\n");
        hash.update(tensor.bytes.data, tensor.bytes.size);
    }
    const auto digest = hash.digest();
    return hex(digest.data(), digest.size());
}

// The tensors whose names begin with `prefix`, without it, as the engine takes them.
Tensors tensors_of(const std::map<std::string, StoredTensor>& all, const std::string& prefix) {
    Tensors some;
    for (auto at = all.lower_bound(prefix); at != all.end() && at->first.compare(0, prefix.size(), prefix) == 0; ++at) {
        const StoredTensor& tensor = at->second;
        if (tensor.type == DType::kInt8) continue;  // `.fraction`, which affects no result
        const Tensor::Type type = tensor.type == DType::kInt32   ? Tensor::kInt32
                                  : tensor.type == DType::kUint8 ? Tensor::kUint8
                                                                 : Tensor::kInt16;
        some[at->first.substr(prefix.size())] = {type, tensor.shape, tensor.bytes.data};
    }
    return some;
}

const std::string& checked_tune(const std::map<std::string, std::string>& metadata) {
    static const std::string absent = "mse";
    const auto found = metadata.find("tune");
    const std::string& tune = found == metadata.end() ? absent : found->second;
    if (tune != "mse" && tune != "ms-ssim" && tune != "eye")
        throw std::invalid_argument("tune " + tune + ": allowed are mse, ms-ssim, eye");
    return tune;
}

}  // namespace

struct Model::Parts {
    ModelConfig config;
    ModelId id;
    std::unique_ptr<const Tables> tables;
    std::unique_ptr<const Nets> nets;
    std::unique_ptr<const Synthesis> synthesis;
    std::vector<float> levels;
};

Model::Model(Parts&& parts)
    : config(parts.config), id(parts.id), tables(std::move(parts.tables)), nets(std::move(parts.nets)),
      synthesis(std::move(parts.synthesis)), levels_(std::move(parts.levels)) {}

std::shared_ptr<const Model> Model::load(Span bytes, int threads) try {
    Buffer<uint8_t> copy;
    if (reinterpret_cast<uintptr_t>(bytes.data) % kAlignment != 0) {
        copy = Buffer<uint8_t>(bytes.size);
        std::memcpy(copy.get(), bytes.data, bytes.size);
        bytes.data = copy.get();
    }
    const Safetensors file(bytes);
    if (file.metadata.count("aec_collection_model") > 0)
        throw std::invalid_argument("a model for collections of small pictures of one size");
    Parts parts = {};
    parts.config = ModelConfig::of(entry_of(file.metadata, "aec_model"));
    checked_tune(file.metadata);
    parts.id = id_of(entry_of(file.metadata, "decoder_sha256"));
    check_forms(parts.config, file.tensors);
    std::string found;
    // The three take about the same time.
    parallel_for(threads, 3, [&](int64_t i) {
        if (i == 0) found = digest_of(file);
        if (i == 1) parts.nets = std::make_unique<Nets>(parts.config.nets(), tensors_of(file.tensors, "entropy."));
        if (i == 2)
            parts.synthesis =
                std::make_unique<Synthesis>(parts.config.transform(), tensors_of(file.tensors, "synthesis."));
    });
    if (found != entry_of(file.metadata, "decoder_sha256"))
        throw Error(ErrorKind::kModel, "decoder_sha256 of the model does not match: the file was changed or damaged");
    const auto data_of = [&](const char* name) { return file.tensors.at(name).bytes.data; };
    parts.tables = make_tables(reinterpret_cast<const uint16_t*>(data_of("tables.freqs")), data_of("tables.limits"),
                               data_of("tables.raw_bits"));
    const auto* levels = reinterpret_cast<const float*>(data_of("levels"));
    parts.levels.assign(levels, levels + kQualities);
    return std::shared_ptr<const Model>(new Model(std::move(parts)));
} catch (const std::invalid_argument& error) {
    throw Error(ErrorKind::kModel, std::string("not a model this aec can run: ") + error.what());
}

bool Model::id_in(const std::map<std::string, std::string>& metadata, ModelId& id) try {
    entry_of(metadata, "aec_model");
    id = id_of(entry_of(metadata, "decoder_sha256"));
    return true;
} catch (const std::invalid_argument&) {
    return false;
}

bool Model::has_branch(int quality, int shrink) const {
    const float level = levels_[quality - 1];
    return shrink == 4 ? level < kLinearFrom4 : shrink == 8 ? level < kLinearFrom8 : true;
}

std::vector<bool> Model::first_channels(int quality, int n) const {
    const int16_t* const steps = nets->step.data() + static_cast<size_t>(quality - 1) * config.latents;
    std::vector<int> order(config.latents);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return steps[a] < steps[b]; });
    std::vector<bool> first(config.latents, false);
    for (int i = 0; i < n; ++i) first[order[i]] = true;
    return first;
}

}  // namespace aec
