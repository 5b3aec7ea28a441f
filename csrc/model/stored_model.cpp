#include "model/stored_model.h"

#include <cstring>

#include "base/hex.h"
#include "model/forms.h"
#include "model/sha256.h"

namespace aec {
namespace {

constexpr size_t kAlignment = 8;  // of the tensors in a model file

Span aligned(Span bytes, Buffer<uint8_t>& copy) {
    if (reinterpret_cast<uintptr_t>(bytes.data) % kAlignment == 0) return bytes;
    copy = Buffer<uint8_t>(bytes.size);
    std::memcpy(copy.get(), bytes.data, bytes.size);
    return {copy.get(), bytes.size};
}

}  // namespace

const std::string& entry_of(const std::map<std::string, std::string>& metadata, const std::string& name) {
    const auto found = metadata.find(name);
    if (found == metadata.end()) throw std::invalid_argument("its metadata lacks " + name);
    return found->second;
}

ModelId id_of(const std::string& sha256) {
    ModelId id = {};
    if (sha256.size() != 64 || sha256.find_first_not_of("0123456789abcdef") != std::string::npos)
        throw std::invalid_argument("decoder_sha256 is no SHA-256 in hexadecimal digits");
    for (size_t i = 0; i < id.size(); ++i)
        id[i] = static_cast<uint8_t>(value_of_digit(sha256[2 * i]) << 4 | value_of_digit(sha256[2 * i + 1]));
    return id;
}

const std::string& tune_in(const std::map<std::string, std::string>& metadata) {
    static const std::string absent = "mse";
    const auto found = metadata.find("tune");
    const std::string& tune = found == metadata.end() ? absent : found->second;
    if (tune != "mse" && tune != "ms-ssim" && tune != "eye")
        throw std::invalid_argument("tune '" + tune + "': allowed are mse, ms-ssim, eye");
    return tune;
}

StoredModel::StoredModel(Span bytes) : file(aligned(bytes, copy_)) {
    if (file.metadata.count("aec_collection_model") > 0)
        throw std::invalid_argument("a model for collections of small pictures of one size");
}

std::string StoredModel::digest(bool encoders) const {
    Sha256 hash;
    hash.update(entry_of(file.metadata, "aec_model"));
    for (const auto& [name, tensor] : file.tensors) {
        if (is_encoders(name) != encoders) continue;
        hash.update("\n" + name + " " + name_of(tensor.type) + " " + text_of(tensor.shape) + "\n");
        hash.update(tensor.bytes.data, tensor.bytes.size);
    }
    const auto digest = hash.digest();
    return hex({digest.data(), digest.size()});
}

StoredModel::Net StoredModel::net(const std::string& prefix) const {
    static const std::string unused = ".fraction";  // affects no result
    Net net;
    const auto& all = file.tensors;
    for (auto at = all.lower_bound(prefix); at != all.end() && at->first.compare(0, prefix.size(), prefix) == 0; ++at) {
        const auto& [name, tensor] = *at;
        if (name.size() >= unused.size() && name.compare(name.size() - unused.size(), unused.size(), unused) == 0)
            continue;
        Tensor::Type type = Tensor::kInt16;
        const void* data = tensor.bytes.data;
        switch (tensor.type) {
            case DType::kInt8: {
                const auto* values = reinterpret_cast<const int8_t*>(tensor.bytes.data);
                net.widened.emplace_back(values, values + tensor.bytes.size);
                data = net.widened.back().data();
                break;
            }
            case DType::kInt16: break;
            case DType::kInt32: type = Tensor::kInt32; break;
            case DType::kUint8: type = Tensor::kUint8; break;
            default: fail(name, std::string("is ") + name_of(tensor.type) + ": int8, int16, int32 or uint8 is allowed");
        }
        net.tensors[name.substr(prefix.size())] = {type, tensor.shape, data};
    }
    return net;
}

}  // namespace aec
