// A network as a list of stages, made from a model's configuration: FORMAT §8 in a form that executor.h runs.
//
// It is never stored in a model file, so that a file can say nothing but numbers.
#pragma once

#include <string>
#include <vector>

#include "engine/pack.h"

namespace aec {

enum class Op {
    kPointwise,  // 1x1
    kDepthwise,  // 3x3, each channel by itself, zeros beyond the picture
};

enum class Map {
    kSame,
    kShuffle2,    // channel 4c + 2i + j at (y, x) becomes channel c at (2y + i, 2x + j); a variant for each 2i + j
    kUnshuffle2,  // the other way round, of what the convolution reads
    kPhases,      // as kSame, with a variant for each phase_of a position
};

// A tensor: int16 [rows][columns][channels].
struct Plane {
    int channels;
    int resolution;               // positions, each way, for each of the coarsest plane that there is
    int largest = kMaxMagnitude;  // that a number in it can have
};

// Which of a convolution's channels in the file go where. Empty: as many as there are, in the file's order.
struct Variant {
    std::vector<int> outputs = {};  // for each channel of the plane that is made
    std::vector<int> inputs = {};   // for each number that is read
    std::vector<int> columns = {};  // of the vector's table, for each channel that is made; -1: nothing is added
};

// out = finish of conv(in) + vector + out, the latter two and Leaky only if asked for.
struct Stage {
    Op op;
    std::vector<std::string> convs;  // their tensors' names in the model file, without ".weight" and so on; outputs follow
                                     // one another
    int in, out;                     // planes
    int file_inputs, file_outputs;   // channels of each convolution in the file
    Map map = Map::kSame;
    std::vector<Variant> variants = {{}};
    std::string vector = {};  // a quality table, likewise; empty: none
    int vector_channels = 0;  // in the file
    bool adds = false;        // to what `out` holds
    bool leaky = false;
};

struct Program {
    std::vector<Plane> planes;
    std::vector<Stage> stages;
    std::vector<int> inputs;  // planes
    int output;
};

constexpr int kLatentStride = 16;  // pixels for each latent, each way

struct TransformConfig {
    int latents, wide8, blocks8, wide16, blocks16;
};

// Itself. Throws invalid_argument, saying what is out of range.
const TransformConfig& checked(const TransformConfig& config);

struct NetsConfig {
    int latents, hyper, context, steps;
    int group_size() const { return latents / steps; }
};

const NetsConfig& checked(const NetsConfig& config);

// Latents -> the branch at two positions for each latent, each way: [8 rows][8 columns][3 channels] of pixels.
Program synthesis_program(const TransformConfig& config);

// Of a pixel's samples: 32 for each level of 8 bits, and 0 between black and white.
constexpr int kPixelUnit = 32, kLargestPixel = 1 << 12;

// Pixels at two positions for each latent, each way, [8 rows][8 columns][3 channels] each -> what the branch adds to the
// latents, before its gain.
Program analysis_program(const TransformConfig& config);

// Latents, four positions for each hyperlatent each way -> hyperlatents.
Program hyper_analysis_program(int latents, int context, int hyper);

// Hyperlatents -> what they say of the latents, at four positions for each each way.
Program prior_program(const NetsConfig& config);

// What the prior says and the latents that are known -> [means, then heads of indexes] of the latents of step k at a
// position. In memory a position's latents follow one another step by step, so that those of the steps before are its
// first ones: at a position of a phase those of step j belong to the channels of group j xor phase.
Program step_program(const NetsConfig& config, int k);

// A stage's convolutions, by variant, and its vectors; what it has not is empty.
struct PackedStage {
    std::vector<PackedPointwise> pointwise;
    PackedDepthwise depthwise;
    std::vector<QualityTable> vectors;
};

class PackedProgram {
public:
    PackedProgram() = default;
    // Throws invalid_argument as `Reader` and `read_conv`.
    PackedProgram(Program program, const Reader& reader);

    const PackedStage& at(const std::string& conv) const;  // the stage of that convolution

    Program program;
    std::vector<PackedStage> stages;
};

}  // namespace aec
