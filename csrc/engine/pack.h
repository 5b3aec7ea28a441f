// Tensors of a model file (FORMAT §7), checked and laid out for the kernels of nets_kernels.h.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/nets_kernels.h"

namespace aec {

constexpr int64_t kMaxChannels = 1 << 14;  // so that no size below overflows
constexpr int kMaxMagnitude = 32768;        // of int16

// One tensor of a model file; the data need live only as long as what is made of them is being made.
struct Tensor {
    enum Type { kInt16, kInt32, kUint8 };
    Type type;
    std::vector<int64_t> shape;
    const void* data;
};
using Tensors = std::map<std::string, Tensor>;

class PackedPointwise {
public:
    Pointwise view() const {
        return {input_pairs, static_cast<int>(shift.size()), weight.data(), start.data(), shift.data()};
    }
    int input_pairs = 0;
    std::vector<int16_t> weight;
    std::vector<int32_t> start, shift;
};

class PackedDepthwise {
public:
    Depthwise view() const { return {static_cast<int>(shift.size()), weight.data(), start.data(), shift.data()}; }
    std::vector<int16_t> weight;
    std::vector<int32_t> start, shift;
};

// A row of int16 for each quality, kept wide: it is added to 32-bit sums.
class QualityTable {
public:
    const int32_t* row(int quality) const { return values.data() + (quality - 1) * channels; }
    int channels = 0;
    std::vector<int32_t> values;
};

// Finds tensors by name. Throws invalid_argument, naming the one that is missing, of another type or of another shape.
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

[[noreturn]] void fail(const std::string& name, const std::string& what);

// A convolution as the file has it: weight [outputs][terms], terms being inputs or taps.
struct FileConv {
    int outputs, terms;
    const int16_t* weight;
    const int32_t* bias;
    const uint8_t* shift;
};

// Checked: no accumulator can overflow, if no input's magnitude is above `largest`. Throws invalid_argument.
FileConv read_conv(const Reader& reader, const std::string& name, int outputs, int inputs, int side,
                   int largest = kMaxMagnitude);

// A packed output: a channel of a convolution in the file.
struct Output {
    const FileConv* conv;
    int channel;
};

std::vector<int> numbers(int n);  // 0 .. n - 1
std::vector<Output> outputs_of(const FileConv& conv, const std::vector<int>& channels);
// inputs: the file's column for each packed one.
PackedPointwise pack(const std::vector<Output>& outputs, const std::vector<int>& inputs);
PackedPointwise pack(const FileConv& conv);
PackedDepthwise pack_depthwise(const FileConv& conv);
// columns: the file's column for each packed one, negative for one that is 0 throughout.
QualityTable pack_table(const int16_t* values, int file_columns, const std::vector<int>& columns);

}  // namespace aec
