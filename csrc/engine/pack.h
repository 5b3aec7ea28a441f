// Reads the tensors of a model file (FORMAT §7), checks them, and packs them in the order in which the kernels of
// nets_kernels.h load them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/memory.h"
#include "engine/nets_kernels.h"

namespace aec {

constexpr int64_t kMaxChannels = 1 << 14;  // so small that no size that is computed from it overflows
constexpr int kMaxMagnitude = 32768;        // the largest magnitude of an int16

// One tensor of a model file. It does not own its data. Packing copies them, so they may be freed afterwards.
struct Tensor {
    enum Type { kInt16, kInt32, kUint8 };
    Type type;
    std::vector<int64_t> shape;
    const void* data;
};
using Tensors = std::map<std::string, Tensor>;

// The weights of a Pointwise convolution (nets_kernels.h).
class PackedPointwise {
public:
    Pointwise view() const {
        return {input_pairs, static_cast<int>(shift.size()), used, weight.data(), start.data(), shift.data()};
    }
    int input_pairs = 0, used = 0;
    Vector<int16_t> weight;
    Vector<int32_t> start, shift;
};

// The weights of a Depthwise convolution (nets_kernels.h).
class PackedDepthwise {
public:
    Depthwise view() const { return {static_cast<int>(shift.size()), weight.data(), start.data(), shift.data()}; }
    Vector<int16_t> weight;
    Vector<int32_t> start, shift;
};

// A vector of numbers in the range of int16 for each quality. They are kept as int32, because kernels add them to int32
// accumulators.
class QualityTable {
public:
    const int32_t* row(int quality) const { return values.data() + (quality - 1) * channels; }  // quality: 1 to 100
    int channels = 0;             // padded to a multiple of kBlock, with zeros
    Vector<int32_t> values;  // [kQualities][channels]
};

// Finds tensors by name. Throws invalid_argument, which names the tensor, if one is missing or has another type or
// shape than was asked for.
class Reader {
public:
    explicit Reader(const Tensors& tensors) : tensors_(tensors) {}

    template <class T>
    const T* at(const std::string& name, const std::vector<int64_t>& shape) const {
        return static_cast<const T*>(find(name, type_of(static_cast<T*>(nullptr)), shape));
    }

private:
    static Tensor::Type type_of(int16_t*) { return Tensor::kInt16; }
    static Tensor::Type type_of(int32_t*) { return Tensor::kInt32; }
    static Tensor::Type type_of(uint8_t*) { return Tensor::kUint8; }
    const void* find(const std::string& name, Tensor::Type type, const std::vector<int64_t>& shape) const;

    const Tensors& tensors_;
};

// "[2, 3]"
std::string text_of(const std::vector<int64_t>& shape);

// Throws invalid_argument with the message "name what".
[[noreturn]] void fail(const std::string& name, const std::string& what);

// A convolution as the file stores it. terms: the products in each sum, which are the input channels of a 1x1
// convolution and the 9 taps of a depthwise one.
struct FileConv {
    int outputs, terms;
    const int16_t* weight;  // [outputs][terms]
    const int32_t* bias;    // [outputs]
    const uint8_t* shift;   // [outputs]
};

// Reads a convolution of side x side. Throws invalid_argument if a tensor is missing or has another type or shape, if a
// shift is above kMaxShift, or if an accumulator could overflow for inputs of magnitude up to `largest`: sum |w| *
// largest + |bias| + half_of(shift) must stay below kAccumulatorLimit for each output.
FileConv read_conv(const Reader& reader, const std::string& name, int outputs, int inputs, int side,
                   int largest = kMaxMagnitude);

// An output channel of a convolution in the file.
struct Output {
    const FileConv* conv;
    int channel;
};

std::vector<int> numbers(int n);  // 0, 1, .. n - 1
std::vector<Output> outputs_of(const FileConv& conv, const std::vector<int>& channels);
// Packs these output channels, in this order. inputs: for each input of the packed convolution, its input channel in
// the file.
PackedPointwise pack(const std::vector<Output>& outputs, const std::vector<int>& inputs);
PackedPointwise pack(const FileConv& conv);
PackedDepthwise pack_depthwise(const FileConv& conv);
// values: [kQualities][file_columns]. columns: for each channel of the packed table, its column in the file; a channel
// with a negative column is 0 for all qualities.
QualityTable pack_table(const int16_t* values, int file_columns, const std::vector<int>& columns);

}  // namespace aec
