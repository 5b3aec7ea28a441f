#include "engine/pack.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <stdexcept>

namespace aec {
namespace {

const char* name_of(Tensor::Type type) {
    return type == Tensor::kInt16 ? "int16" : type == Tensor::kInt32 ? "int32" : "uint8";
}

}  // namespace

std::string text_of(const std::vector<int64_t>& shape) {
    std::string text;
    for (const int64_t side : shape) text += (text.empty() ? "" : ", ") + std::to_string(side);
    return "[" + text + "]";
}

void fail(const std::string& name, const std::string& what) { throw std::invalid_argument(name + " " + what); }

const void* Reader::find(const std::string& name, Tensor::Type type, const std::vector<int64_t>& shape) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) fail(name, "is missing");
    const Tensor& tensor = found->second;
    if (tensor.type != type) fail(name, std::string("is ") + name_of(tensor.type) + ", must be " + name_of(type));
    if (tensor.shape != shape) fail(name, "has shape " + text_of(tensor.shape) + ", must have " + text_of(shape));
    return found->second.data;
}

FileConv read_conv(const Reader& reader, const std::string& name, int outputs, int inputs, int side, int largest) {
    const FileConv conv = {outputs, inputs * side * side,
                       reader.at<int16_t>(name + ".weight", {outputs, inputs, side, side}),
                       reader.at<int32_t>(name + ".bias", {outputs}), reader.at<uint8_t>(name + ".shift", {outputs})};
    for (int o = 0; o < outputs; ++o) {
        if (conv.shift[o] > kMaxShift) fail(name, "has a shift above " + std::to_string(kMaxShift));
        uint32_t sum = 0;  // at most 4 * kMaxChannels terms of at most 2^15
        const int16_t* const row = conv.weight + static_cast<size_t>(o) * conv.terms;
        for (int t = 0; t < conv.terms; ++t) sum += std::abs(int{row[t]});
        const int64_t rest = std::abs(static_cast<int64_t>(conv.bias[o])) + half_of(conv.shift[o]);
        if (int64_t{largest} * sum + rest >= kAccumulatorLimit) fail(name, "could overflow its accumulator");
    }
    return conv;
}

namespace {

template <class Packed>
void set_output(Packed& packed, int place, const FileConv& conv, int output) {
    packed.start[place] = conv.bias[output] + half_of(conv.shift[output]);
    packed.shift[place] = conv.shift[output];
}

}  // namespace

PackedPointwise pack(const std::vector<Output>& outputs, const std::vector<int>& inputs) {
    PackedPointwise packed;
    packed.input_pairs = static_cast<int>(inputs.size() + 1) / 2;
    const int padded = round_up(static_cast<int>(outputs.size()), kBlock);
    packed.used = static_cast<int>(outputs.size());
    packed.weight.assign(static_cast<size_t>(padded) * packed.input_pairs * 2, 0);
    packed.start.assign(padded, 0);
    packed.shift.assign(padded, 0);
    for (size_t o = 0; o < outputs.size(); ++o)
        set_output(packed, static_cast<int>(o), *outputs[o].conv, outputs[o].channel);
    // A block of outputs at a time, so that what is written lies together.
    for (size_t begin = 0; begin < outputs.size(); begin += kBlock) {
        const size_t n = std::min<size_t>(kBlock, outputs.size() - begin);
        const int16_t* rows[kBlock];
        for (size_t o = 0; o < n; ++o) {
            const auto [conv, channel] = outputs[begin + o];
            rows[o] = conv->weight + static_cast<size_t>(channel) * conv->terms;
        }
        int16_t* const block = packed.weight.data() + begin * packed.input_pairs * 2;
        for (size_t i = 0; i < inputs.size(); ++i) {
            int16_t* const to = block + i / 2 * kBlock * 2 + i % 2;
            for (size_t o = 0; o < n; ++o) to[o * 2] = rows[o][inputs[i]];
        }
    }
    return packed;
}

std::vector<int> numbers(int n) {
    std::vector<int> all(n);
    std::iota(all.begin(), all.end(), 0);
    return all;
}

std::vector<Output> outputs_of(const FileConv& conv, const std::vector<int>& channels) {
    std::vector<Output> outputs;
    for (const int channel : channels) outputs.push_back({&conv, channel});
    return outputs;
}

PackedPointwise pack(const FileConv& conv) { return pack(outputs_of(conv, numbers(conv.outputs)), numbers(conv.terms)); }

PackedDepthwise pack_depthwise(const FileConv& conv) {
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

QualityTable pack_table(const int16_t* values, int file_columns, const std::vector<int>& columns) {
    QualityTable table;
    table.channels = round_up(static_cast<int>(columns.size()), kBlock);
    table.values.assign(static_cast<size_t>(kQualities) * table.channels, 0);
    for (int q = 0; q < kQualities; ++q)
        for (size_t c = 0; c < columns.size(); ++c)
            if (columns[c] >= 0) table.values[q * table.channels + c] = values[q * file_columns + columns[c]];
    return table;
}

}  // namespace aec
