#include "model/forms.h"

#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "model/json.h"

namespace aec {
namespace {

constexpr int kMinFraction = -7, kMaxFraction = 20;

struct Form {
    DType type;
    std::vector<int64_t> shape;
    bool or_int8 = false;  // whether int8 is allowed too
};
using Forms = std::map<std::string, Form>;

enum class Half { kDecoder, kEncoder };

// Collects the forms of the tensors of one net. Its convolutions have a tensor `.fraction` each, but in the entropy nets.
class Net {
public:
    Net(Forms& forms, std::string prefix, Half half = Half::kDecoder)
        : forms_(forms), prefix_(std::move(prefix)), half_(half), has_units_(prefix_ != "entropy.net.") {}

    // A convolution of side x side. narrow: its weights may have 8 bits in a decoder, and must in an encoder.
    void convolution(const std::string& name, int64_t outputs, int64_t inputs, bool narrow, int64_t side = 1) {
        const bool must = narrow && half_ == Half::kEncoder;
        forms_[prefix_ + name + ".weight"] = {must ? DType::kInt8 : DType::kInt16, {outputs, inputs, side, side},
                                              narrow && !must};
        forms_[prefix_ + name + ".bias"] = {DType::kInt32, {outputs}};
        forms_[prefix_ + name + ".shift"] = {DType::kUint8, {outputs}};
        if (has_units_) forms_[prefix_ + name + ".fraction"] = {DType::kInt8, {1}};
    }
    void vector(const std::string& name, int64_t channels) {
        forms_[prefix_ + name + ".table"] = {DType::kInt16, {kQualities, channels}};
    }
    void block(const std::string& name, int64_t n) {
        convolution(name + ".space_in", n, n, true);
        convolution(name + ".space", n, 1, false, 3);
        convolution(name + ".space_out", n, n, true);
        convolution(name + ".mix_in", 2 * n, n, true);
        convolution(name + ".mix_out", n, 2 * n, true);
    }
    void blocks(const std::string& name, int count, int64_t n) {
        for (int i = 0; i < count; ++i) block(name + "." + std::to_string(i), n);
    }

private:
    Forms& forms_;
    std::string prefix_;
    Half half_;
    bool has_units_;
};

void add_synthesis(Forms& forms, const ModelConfig& c) {
    Net net(forms, "synthesis.");
    net.convolution("shortcut", 3 * kLatentStride * kLatentStride, c.latents, false);
    net.convolution("head16", c.wide16, c.latents, false);
    net.convolution("tail16", 4 * c.wide8, c.wide16, true);
    net.convolution("tail8", 3 * 64, c.wide8, true);
    net.vector("gain", 3 * 64);
    forms["synthesis.gain.shift"] = {DType::kUint8, {1}};
    net.vector("quality8", c.wide8);
    net.vector("quality16", c.wide16);
    net.blocks("body8", c.blocks8, c.wide8);
    net.blocks("body16", c.blocks16, c.wide16);
}

void add_entropy(Forms& forms, const ModelConfig& c) {
    Net net(forms, "entropy.net.");
    net.convolution("head", c.context, c.hyper, false);
    net.vector("quality", c.context);
    for (const char* stride : {"4", "2", "1"}) net.block(std::string("body") + stride, c.context);
    for (const char* stride : {"2", "1"})
        net.convolution(std::string("up") + stride, 4 * int64_t{c.context}, c.context, true);
    for (int k = 0; k < c.steps; ++k) {
        const std::string step = "steps." + std::to_string(k) + ".";
        net.convolution(step + "from_hyper", c.context, c.context, true);
        if (k > 0) net.convolution(step + "from_latents", c.context, c.latents, false);
        net.vector(step + "quality", c.context);
        net.block(step + "body", c.context);
        net.convolution(step + "mean", c.latents, c.context, true);
        net.convolution(step + "index", c.latents, c.context, true);
        net.vector(step + "index_quality", c.latents);
    }
    forms["entropy.step"] = {DType::kInt16, {kQualities, c.latents}};
    forms["entropy.hyper_step"] = {DType::kInt16, {kQualities, c.hyper}};
    forms["entropy.hyper_index"] = {DType::kUint8, {kQualities, c.hyper}};
}

void add_analysis(Forms& forms, const ModelConfig& c) {
    Net net(forms, "analysis.", Half::kEncoder);
    net.convolution("shortcut", c.latents, 3 * kLatentStride * kLatentStride, false);
    net.convolution("head8", c.wide8, 3 * 64, true);
    net.convolution("head16", c.wide16, 4 * int64_t{c.wide8}, true);
    net.convolution("tail", c.latents, c.wide16, true);
    net.vector("gain", c.latents);
    forms["analysis.gain.shift"] = {DType::kUint8, {c.latents}};
    net.vector("quality8", c.wide8);
    net.vector("quality16", c.wide16);
    net.blocks("body8", c.blocks8, c.wide8);
    net.blocks("body16", c.blocks16, c.wide16);
}

void add_hyper_analysis(Forms& forms, const ModelConfig& c) {
    Net net(forms, "hyper_analysis.", Half::kEncoder);
    net.convolution("head", c.context, c.latents, true);
    net.vector("quality", c.context);
    net.block("body", c.context);
    for (const char* stride : {"2", "4"}) {
        net.convolution(std::string("down") + stride, c.context, 4 * int64_t{c.context}, true);
        net.block(std::string("body") + stride, c.context);
    }
    net.convolution("tail", c.hyper, c.context, true);
}

Forms forms_of_decoder(const ModelConfig& config) {
    Forms forms;
    add_synthesis(forms, config);
    add_entropy(forms, config);
    forms["levels"] = {DType::kFloat32, {kQualities}};
    forms["tables.freqs"] = {DType::kUint16, {kIndexCount, kMaxAlphabet}};
    forms["tables.limits"] = {DType::kUint8, {kIndexCount}};
    forms["tables.raw_bits"] = {DType::kUint8, {kIndexCount}};
    return forms;
}

bool starts(const std::string& text, const std::string& with) { return text.compare(0, with.size(), with) == 0; }
bool ends(const std::string& text, const std::string& with) {
    return text.size() >= with.size() && text.compare(text.size() - with.size(), with.size(), with) == 0;
}

// Checks that the tensors of one half are these, and no others.
void check_half(const Forms& wanted, const std::map<std::string, StoredTensor>& tensors, Half half) {
    for (const auto& [name, form] : wanted) {
        const auto found = tensors.find(name);
        if (found == tensors.end()) fail(name, "is missing");
        const StoredTensor& tensor = found->second;
        const bool fits = tensor.type == form.type || (form.or_int8 && tensor.type == DType::kInt8);
        if (!fits || tensor.shape != form.shape)
            fail(name, std::string("is ") + name_of(tensor.type) + " " + text_of(tensor.shape) + ": " +
                           (form.or_int8 ? "int8 or " : "") + name_of(form.type) + " " + text_of(form.shape) +
                           " is allowed");
    }
    for (const auto& item : tensors)
        if (is_encoders(item.first) == (half == Half::kEncoder) && wanted.count(item.first) == 0)
            fail(item.first, "is no tensor of such a model");
}

// Layers whose outputs are added together must have the same unit, and the shortcut that of pixels.
void check_units(const std::map<std::string, StoredTensor>& tensors) {
    std::map<std::string, int> units = {{"shortcut", kPixelBits}};
    for (const auto& [name, tensor] : tensors) {
        if (!ends(name, ".fraction") || tensor.bytes.size != 1) continue;
        const int unit = static_cast<int8_t>(tensor.bytes.data[0]);
        if (unit < kMinFraction || unit > kMaxFraction)
            fail(name, "is " + std::to_string(unit) + ": -7 to 20 are allowed");
        if (!starts(name, "synthesis.")) continue;
        const std::string layer = name.substr(10, name.size() - 19);
        const bool adds = ends(layer, "space_out") || ends(layer, "mix_out");
        std::string stream;
        if (layer == "shortcut") stream = "shortcut";
        if (layer == "head16" || (adds && starts(layer, "body16."))) stream = "16";
        if (layer == "tail16" || (adds && starts(layer, "body8."))) stream = "8";
        if (stream.empty()) continue;
        const int wanted = units.emplace(stream, unit).first->second;
        if (unit != wanted)
            fail(name, "is " + std::to_string(unit) + ": " + std::to_string(wanted) +
                           " is allowed, as in what it is added to");
    }
}

// With three digits behind the point. std::to_string of a float would bring all of printf into the module for browsers.
std::string text_of(float v) {
    if (v != v) return "nan";
    if (!(v > -1e6f && v < 1e6f)) return v > 0 ? "above a million" : "below minus a million";
    const auto thousandths = static_cast<int64_t>(v * 1000);
    const std::string digits = std::to_string(1000 + std::abs(thousandths) % 1000).substr(1);
    return (v < 0 ? "-" : "") + std::to_string(std::abs(thousandths) / 1000) + "." + digits;
}

void check_levels(Span bytes) {
    float before = 0;
    for (int i = 0; i < kQualities; ++i) {
        float level;
        std::memcpy(&level, bytes.data + sizeof level * i, sizeof level);
        if (!(i == 0 ? level >= 1 : level > before && level <= kMaxLevel))
            fail("levels[" + std::to_string(i) + "]",
                 "is " + text_of(level) + ": levels must rise, within 1 to 120");
        before = level;
    }
}

uint64_t integer_of(JsonReader& json, const std::string& key) try {
    return json.integer();
} catch (const std::invalid_argument& error) {
    throw std::invalid_argument(key + " is no size: " + error.what());
}

}  // namespace

ModelConfig ModelConfig::of(const std::string& text) {
    ModelConfig config;
    std::map<std::string, int*> fields = {{"latents", &config.latents}, {"hyper", &config.hyper},
                                          {"wide8", &config.wide8},     {"blocks8", &config.blocks8},
                                          {"wide16", &config.wide16},   {"blocks16", &config.blocks16},
                                          {"context", &config.context}, {"steps", &config.steps}};
    JsonReader json({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
    json.object([&](const std::string& key) {
        const auto found = fields.find(key);
        if (found == fields.end()) throw std::invalid_argument("its configuration has " + key + ", which is unknown");
        const uint64_t value = integer_of(json, key);
        if (value > kMaxChannels)
            throw std::invalid_argument(key + " is " + std::to_string(value) + ": at most 16384 is allowed");
        *found->second = static_cast<int>(value);
        fields.erase(found);
    });
    json.end();
    if (!fields.empty()) throw std::invalid_argument("its configuration lacks " + fields.begin()->first);
    checked(config.nets());
    checked(config.transform());
    return config;
}

bool is_encoders(const std::string& tensor) { return starts(tensor, "analysis.") || starts(tensor, "hyper_analysis."); }

void check_forms(const ModelConfig& config, const std::map<std::string, StoredTensor>& tensors) {
    if (tensors.count("synthesis.whiten") > 0)
        throw std::invalid_argument(
            "its synthesis is floating point: it is of version 1 of the format, and must be exported anew");
    if (tensors.count("analysis.log_gain.knots") > 0)
        throw std::invalid_argument(
            "its analysis is floating point: it must be exported anew, from a checkpoint of its training");
    check_half(forms_of_decoder(config), tensors, Half::kDecoder);
    check_units(tensors);
    check_levels(tensors.at("levels").bytes);
}

void check_encoder_forms(const ModelConfig& config, const std::map<std::string, StoredTensor>& tensors) {
    Forms forms;
    add_analysis(forms, config);
    add_hyper_analysis(forms, config);
    check_half(forms, tensors, Half::kEncoder);
}

}  // namespace aec
