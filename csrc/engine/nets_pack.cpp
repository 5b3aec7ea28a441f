#include "engine/nets_pack.h"

#include <cstdlib>
#include <numeric>
#include <stdexcept>

namespace aec {
namespace {

constexpr int64_t kMaxChannels = 1 << 14;  // so that no size below overflows

[[noreturn]] void fail(const std::string& name, const std::string& what) {
    throw std::invalid_argument(name + " " + what);
}

class Reader {
public:
    explicit Reader(const Tensors& tensors) : tensors_(tensors) {}

    template <class T>
    const T* at(const std::string& name, const std::vector<int64_t>& shape) const {
        const auto found = tensors_.find(name);
        if (found == tensors_.end()) fail(name, "is missing");
        if (found->second.type != type_of(static_cast<T*>(nullptr))) fail(name, "is of another type");
        if (found->second.shape != shape) fail(name, "is of another shape");
        return static_cast<const T*>(found->second.data);
    }

private:
    static Tensor::Type type_of(int16_t*) { return Tensor::kInt16; }
    static Tensor::Type type_of(int32_t*) { return Tensor::kInt32; }
    static Tensor::Type type_of(uint8_t*) { return Tensor::kUint8; }

    const Tensors& tensors_;
};

// A convolution as the file has it: weight [outputs][terms], terms being inputs or taps.
struct Conv {
    int outputs, terms;
    const int16_t* weight;
    const int32_t* bias;
    const uint8_t* shift;
};

Conv read_conv(const Reader& reader, const std::string& name, int outputs, int inputs, int side) {
    const Conv conv = {outputs, inputs * side * side,
                       reader.at<int16_t>(name + ".weight", {outputs, inputs, side, side}),
                       reader.at<int32_t>(name + ".bias", {outputs}), reader.at<uint8_t>(name + ".shift", {outputs})};
    for (int o = 0; o < outputs; ++o) {
        if (conv.shift[o] > kMaxShift) fail(name, "has a shift above 15");
        int64_t bound = std::abs(static_cast<int64_t>(conv.bias[o])) + half_of(conv.shift[o]);
        for (int t = 0; t < conv.terms; ++t) bound += int64_t{32768} * std::abs(int{conv.weight[o * conv.terms + t]});
        if (bound >= int64_t{1} << 31) fail(name, "could overflow its accumulator");
    }
    return conv;
}

template <class Packed>
void set_output(Packed& packed, int place, const Conv& conv, int output) {
    packed.start[place] = conv.bias[output] + half_of(conv.shift[output]);
    packed.shift[place] = conv.shift[output];
}

// A packed output: a channel of a convolution in the file.
struct Output {
    const Conv* conv;
    int channel;
};

// inputs: the file's column for each packed one.
PackedPointwise pack(const std::vector<Output>& outputs, const std::vector<int>& inputs) {
    PackedPointwise packed;
    packed.input_pairs = static_cast<int>(inputs.size() + 1) / 2;
    const int padded = round_up(static_cast<int>(outputs.size()), kBlock);
    packed.weight.assign(static_cast<size_t>(padded) * packed.input_pairs * 2, 0);
    packed.start.assign(padded, 0);
    packed.shift.assign(padded, 0);
    for (size_t o = 0; o < outputs.size(); ++o) {
        const auto [conv, channel] = outputs[o];
        set_output(packed, static_cast<int>(o), *conv, channel);
        const int16_t* row = conv->weight + static_cast<size_t>(channel) * conv->terms;
        for (size_t i = 0; i < inputs.size(); ++i) {
            const size_t pair = o / kBlock * packed.input_pairs + i / 2;
            packed.weight[(pair * kBlock + o % kBlock) * 2 + i % 2] = row[inputs[i]];
        }
    }
    return packed;
}

std::vector<int> numbers(int n) {
    std::vector<int> all(n);
    std::iota(all.begin(), all.end(), 0);
    return all;
}

std::vector<Output> outputs_of(const Conv& conv, const std::vector<int>& channels) {
    std::vector<Output> outputs;
    for (const int channel : channels) outputs.push_back({&conv, channel});
    return outputs;
}

PackedPointwise pack(const Conv& conv) { return pack(outputs_of(conv, numbers(conv.outputs)), numbers(conv.terms)); }

PackedDepthwise pack_depthwise(const Conv& conv) {
    PackedDepthwise packed;
    const int padded = round_up(conv.outputs, kBlock);
    packed.weight.assign(static_cast<size_t>(padded) * kTaps, 0);
    packed.start.assign(padded, 0);
    packed.shift.assign(padded, 0);
    for (int c = 0; c < conv.outputs; ++c) {
        set_output(packed, c, conv, c);
        for (int t = 0; t < kTaps; ++t) packed.weight[t * padded + c] = conv.weight[c * kTaps + t];
    }
    return packed;
}

// columns: the file's column for each packed one, negative for one that is 0 throughout.
QualityTable pack_table(const int16_t* values, int file_columns, const std::vector<int>& columns) {
    QualityTable table;
    table.channels = round_up(static_cast<int>(columns.size()), kBlock);
    table.values.assign(static_cast<size_t>(kQualities) * table.channels, 0);
    for (int q = 0; q < kQualities; ++q)
        for (size_t c = 0; c < columns.size(); ++c)
            if (columns[c] >= 0) table.values[q * table.channels + c] = values[q * file_columns + columns[c]];
    return table;
}

PackedBlock read_block(const Reader& reader, const std::string& name, int n) {
    PackedBlock block;
    block.space_in = pack(read_conv(reader, name + ".space_in", n, n, 1));
    block.space = pack_depthwise(read_conv(reader, name + ".space", n, 1, 3));
    block.space_out = pack(read_conv(reader, name + ".space_out", n, n, 1));
    block.mix_in = pack(read_conv(reader, name + ".mix_in", 2 * n, n, 1));
    block.mix_out = pack(read_conv(reader, name + ".mix_out", n, 2 * n, 1));
    return block;
}

QualityTable read_table(const Reader& reader, const std::string& name, int n) {
    return pack_table(reader.at<int16_t>(name + ".table", {kQualities, n}), n, numbers(n));
}

std::array<PackedPointwise, 4> read_up(const Reader& reader, const std::string& name, int n) {
    const Conv conv = read_conv(reader, name, 4 * n, n, 1);
    std::array<PackedPointwise, 4> packed;
    for (int corner = 0; corner < 4; ++corner) {
        std::vector<int> channels;
        for (int c = 0; c < n; ++c) channels.push_back(4 * c + corner);
        packed[corner] = pack(outputs_of(conv, channels), numbers(n));
    }
    return packed;
}

PackedStep read_step(const Reader& reader, const NetsConfig& config, int k) {
    const std::string name = "net.steps." + std::to_string(k);
    const int n = config.context, latents = config.latents, steps = config.steps, group_size = latents / steps;
    PackedStep step;
    step.from_hyper = pack(read_conv(reader, name + ".from_hyper", n, n, 1));
    step.quality = read_table(reader, name + ".quality", n);
    step.body = read_block(reader, name + ".body", n);
    const Conv mean = read_conv(reader, name + ".mean", latents, n, 1);
    const Conv index = read_conv(reader, name + ".index", latents, n, 1);
    const Conv from_latents = k > 0 ? read_conv(reader, name + ".from_latents", n, latents, 1) : Conv{};
    const int16_t* index_quality = reader.at<int16_t>(name + ".index_quality.table", {kQualities, latents});
    for (int phase = 0; phase < steps; ++phase) {
        std::vector<int> before, now;  // latents of the steps before this one, and of this one
        for (int j = 0; j <= k; ++j)
            for (int i = 0; i < group_size; ++i) (j < k ? before : now).push_back(i * steps + (j ^ phase));

        PackedPhase& packed = step.phases[phase];
        if (k > 0) packed.from_latents = pack(outputs_of(from_latents, numbers(n)), before);

        std::vector<Output> heads = outputs_of(mean, now);
        const std::vector<Output> index_heads = outputs_of(index, now);
        heads.insert(heads.end(), index_heads.begin(), index_heads.end());
        packed.heads = pack(heads, numbers(n));

        std::vector<int> columns(group_size, -1);
        columns.insert(columns.end(), now.begin(), now.end());
        packed.heads_quality = pack_table(index_quality, latents, columns);
    }
    return step;
}

template <class T>
std::vector<T> read_rows(const Reader& reader, const std::string& name, int channels, T low, T high) {
    const T* values = reader.at<T>(name, {kQualities, channels});
    for (int64_t i = 0; i < int64_t{kQualities} * channels; ++i)
        if (values[i] < low || values[i] > high) fail(name, "has a value out of range");
    return std::vector<T>(values, values + static_cast<size_t>(kQualities) * channels);
}

const NetsConfig& checked(const NetsConfig& config) {
    if (config.steps != 2 && config.steps != 4) throw std::invalid_argument("steps must be 2 or 4");
    for (const int channels : {config.latents, config.hyper, config.context})
        if (channels < 1 || channels > kMaxChannels) throw std::invalid_argument("channels must be 1 to 16384");
    if (config.latents % config.steps != 0) throw std::invalid_argument("latents must be a multiple of steps");
    return config;
}

}  // namespace

Nets::Nets(const NetsConfig& c, const Tensors& tensors) : config(checked(c)) {
    const Reader reader(tensors);
    const int n = config.context;
    step = read_rows<int16_t>(reader, "step", config.latents, 1, 32767);
    hyper_step = read_rows<int16_t>(reader, "hyper_step", config.hyper, 1, 32767);
    hyper_index = read_rows<uint8_t>(reader, "hyper_index", config.hyper, 0, kIndexCount - 1);
    head = pack(read_conv(reader, "net.head", n, config.hyper, 1));
    quality = read_table(reader, "net.quality", n);
    body4 = read_block(reader, "net.body4", n);
    up2 = read_up(reader, "net.up2", n);
    body2 = read_block(reader, "net.body2", n);
    up1 = read_up(reader, "net.up1", n);
    body1 = read_block(reader, "net.body1", n);
    for (int k = 0; k < config.steps; ++k) steps[k] = read_step(reader, config, k);
}

}  // namespace aec
