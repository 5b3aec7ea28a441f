// The weights of networks, packed for the GPU as one array of bytes, which is made once on the host and copied to the
// device. What is where in it is told by offsets in bytes, so nothing here holds a pointer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/memory.h"
#include "engine/program.h"

namespace aec {

struct Constants {  // of one output channel: its bias plus half_of(shift), and its shift
    int32_t start, shift;
};

// A 1x1 convolution. Its output channels are divided into pairs of tiles of 8 channels, and its input channels into k
// steps of 32. weights: [pairs][k_steps][2 tiles][32 threads] Quad: what each thread of a warp loads for operand B
// (mma.cuh), first the high bytes of its 8 weights and then the low bytes. If all weights have 8 bits, `narrow`, it is
// [pairs][k_steps][32 threads] Quad, first the 8 bytes of one tile and then those of the other. constants: [16 * pairs]
// Constants. Both are offsets in bytes. A convolution with several variants, one for each phase or for each quarter of
// an upsampling, has them `stride` bytes apart.
struct Conv {
    uint32_t weights = 0, constants = 0, stride = 0;
    int k_steps = 0, pairs = 0;
    bool narrow = false;
};

// Variant i of a convolution.
AEC_HD Conv variant_of(Conv conv, int i) {
    conv.weights += i * conv.stride;
    conv.constants += i * conv.stride;
    return conv;
}

struct SpaceConv {  // a depthwise 3x3 convolution
    uint32_t weights = 0, constants = 0;  // int16 [9][channels], Constants [channels]
};

constexpr int kDepth = 32;  // input channels in a k step; the channels of planes on a GPU are padded to multiples of it

// Appends tensors to the bytes of an image, and returns where they are. Throws invalid_argument above 4 GB.
class ImageWriter {
public:
    explicit ImageWriter(Vector<uint8_t>& bytes) : bytes_(bytes) {}

    // group: if not 0, the input channels are read in groups of so many, each of which is padded to a multiple of kDepth.
    Conv conv(const PackedPointwise& from, int group = 0) { return variants({from}, group); }
    Conv variants(const Vector<PackedPointwise>& from, int group = 0);
    SpaceConv space(const PackedDepthwise& from);
    uint32_t constants(const Vector<int32_t>& start, const Vector<int32_t>& shift);
    uint32_t narrow(const QualityTable& from);  // as int16 [kQualities][channels]

    template <class T>
    uint32_t table(const Vector<T>& values) {
        return append(values.data(), values.size() * sizeof(T));
    }

private:
    Conv variant(const PackedPointwise& from, int group, bool narrow);
    uint32_t append(const void* data, size_t n);
    uint32_t take(size_t n);
    void set_weight(const Conv& conv, int output, int input, int16_t weight);

    Vector<uint8_t>& bytes_;
};

// A transform (analysis.h, synthesis.h), packed for the GPU. What is derived from this says where its tensors are.
template <class Transform>
class TransformImage {
public:
    TransformImage(const TransformImage&) = delete;  // write_ refers to bytes

    const std::shared_ptr<const Transform> transform;
    Vector<uint8_t> bytes;

protected:
    explicit TransformImage(std::shared_ptr<const Transform> from) : transform(std::move(from)) {}

    ImageWriter write_{bytes};
};

}  // namespace aec
