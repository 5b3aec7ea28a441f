// Networks as data. A Program is a list of stages (convolutions with their bias, shift and activation) that read and
// write planes (feature maps), in the order of FORMAT §8. executor.h runs it on a CPU, and executor_cuda.cuh on a GPU.
//
// Programs are made here from a model's configuration, and never read from a model file. So a file can only hold
// numbers of known shapes, which are easy to check.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "engine/pack.h"

namespace aec {

enum class Op {
    kPointwise,  // 1x1 convolution
    kDepthwise,  // 3x3 convolution of each channel by itself, with zero padding at the picture's edges
};

// Which positions a stage reads and writes.
enum class Map {
    kSame,        // reads and writes the same position
    kShuffle2,    // upsampling: output channel 4c + 2i + j at (y, x) is stored as channel c at (2y + i, 2x + j)
    kUnshuffle2,  // downsampling, the inverse: input channel 4c + 2i + j at (y, x) is channel c at (2y + i, 2x + j)
    kPhases,      // as kSame, but with different channels of the convolution for each phase_of a position
};

// A feature map, int16 [rows][columns][channels].
struct Plane {
    int channels;
    int resolution;               // its rows (or columns) divided by those of the program's coarsest plane: 1, 2 or 4
    int largest = kMaxMagnitude;  // no number in it has a larger magnitude
};

// Which channels of a convolution in the model file a stage uses, and in which order. An empty list stands for all of
// them, in the order of the file.
struct Variant {
    std::vector<int> outputs = {};  // for each channel of the output plane: the output channel in the file
    std::vector<int> inputs = {};   // for each number that is read: the input channel in the file
    std::vector<int> columns = {};  // for each channel of the output plane: the vector table's column; -1: adds 0
};

// A convolution and what follows it: out = finish(conv(in), added), where `added` is vector + out. The vector, the old
// content of `out` and the leaky ReLU are each optional.
struct Stage {
    Op op;
    std::vector<std::string> convs;  // names of convolutions in the file, without ".weight", ".bias" and ".shift"; the
                                     // output channels of several convolutions are numbered one after the other
    int in, out;                     // numbers of planes in the program
    int file_inputs, file_outputs;   // input and output channels of each convolution in the file
    Map map = Map::kSame;
    std::vector<Variant> variants = {{}};  // one; but for kShuffle2 one for each 2i + j, for kPhases one for each phase
    std::string vector = {};  // name of a table in the file, without ".table", with a row for each quality; empty: none
    int vector_channels = 0;  // columns of that table in the file
    bool adds = false;        // whether the result is added to what `out` holds (a skip connection)
    bool leaky = false;       // whether a leaky ReLU follows
};

struct Program {
    std::vector<Plane> planes;
    std::vector<Stage> stages;  // in the order in which they run
    std::vector<int> inputs;    // numbers of planes
    int output;                 // number of a plane

    bool is_input(int plane) const { return std::find(inputs.begin(), inputs.end(), plane) != inputs.end(); }
};

constexpr int kLatentStride = 16;  // a position of latents stands for 16x16 pixels

// The sizes of the transforms: latent channels; width (channels) and number of Blocks at 1/8 and at 1/16 of the
// picture's size.
struct TransformConfig {
    int latents, wide8, blocks8, wide16, blocks16;
    // How far a transform reads around a latent, in latents: one for each two Blocks at 1/8, and one for each at 1/16.
    int halo() const { return blocks16 + (blocks8 + 1) / 2; }
};

// Returns its argument. Throws invalid_argument, which names what is out of range.
const TransformConfig& checked(const TransformConfig& config);

// The sizes of the entropy networks: channels of latents, hyperlatents and hidden layers; context steps (2 or 4).
struct NetsConfig {
    int latents, hyper, context, steps;
    int group_size() const { return latents / steps; }  // channels that are coded at a position in each context step
};

const NetsConfig& checked(const NetsConfig& config);

// The branch of the synthesis. Input: latents (resolution 1). Output: at 1/8 of the picture's size (resolution 2), the
// 8x8 pixels of each position as channels [8 rows][8 columns][3], before the gain.
Program synthesis_program(const TransformConfig& config);

// Pixels as an encoder's networks read them: 32 units for each level of an 8-bit sample, and 0 in the middle between
// black and white. So they lie in -4080..4080.
constexpr int kPixelUnit = 32, kLargestPixel = 1 << 12;

// The branch of the analysis. Input: at 1/8 of the picture's size (resolution 2), the 8x8 pixels of each position as
// channels [8 rows][8 columns][3]. Output: what the branch adds to the latents (resolution 1), before the gain.
Program analysis_program(const TransformConfig& config);

// Input: latents (resolution 4). Output: hyperlatents (resolution 1).
Program hyper_analysis_program(int latents, int context, int hyper);

// Input: hyperlatents (resolution 1). Output: the prior, `context` channels of features for each position of latents
// (resolution 4).
Program prior_program(const NetsConfig& config);

// Context step k. Inputs: the prior, and the latents that are known from the steps before k. Output: for the group_size
// latents of this step at each position, their means and then their index heads (index_of).
//
// The latents of a position are stored in the order of the steps in which they are coded: first the group_size latents
// of step 0, then those of step 1, and so on. So step k always reads the first k * group_size numbers. In the file's
// order the latents of step j at a position of a given phase are those of the channels c with c mod steps = j xor
// phase.
Program step_program(const NetsConfig& config, int k);

// The packed weights and vectors of a stage, for each of its variants. What a stage does not have is empty.
struct PackedStage {
    Vector<PackedPointwise> pointwise;
    PackedDepthwise depthwise;
    Vector<QualityTable> vectors;
};

class PackedProgram {
public:
    PackedProgram() = default;
    // Throws invalid_argument as Reader and read_conv do.
    PackedProgram(Program program, const Reader& reader);

    // The stage whose first convolution has this name; invalid_argument if there is none.
    const PackedStage& at(const std::string& conv) const;

    Program program;
    Vector<PackedStage> stages;  // for each stage of the program
};

}  // namespace aec
