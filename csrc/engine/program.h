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
    kShuffle2,    // channel 4c + 2i + j at (y, x) becomes channel c at (2y + i, 2x + j)
    kUnshuffle2,  // the other way round, of what the convolution reads
};

// A tensor: int16 [rows][columns][channels].
struct Plane {
    int channels;
    int resolution;               // positions, each way, for each of the coarsest plane that there is
    int largest = kMaxMagnitude;  // that a number in it can have
};

// out = finish of conv(in) + vector + out, the latter two and Leaky only if asked for.
struct Stage {
    Op op;
    std::string conv;  // its tensors in the model file: conv + ".weight" and so on
    int in, out;       // planes
    Map map = Map::kSame;
    std::string vector = {};       // a quality table, likewise; empty: none
    bool adds = false;             // to what `out` holds
    bool leaky = false;
    std::vector<int> outputs = {};  // the convolution's channel for each of `out`; empty: in the file's order
    std::vector<int> inputs = {};   // the same for each of `in`
};

struct Program {
    std::vector<Plane> planes;
    std::vector<Stage> stages;
    int input, output;  // planes
};

constexpr int kLatentStride = 16;  // pixels for each latent, each way

struct TransformConfig {
    int latents, wide8, blocks8, wide16, blocks16;
};

// Itself. Throws invalid_argument, saying what is out of range.
const TransformConfig& checked(const TransformConfig& config);

// Latents -> the branch at two positions for each latent, each way: [8 rows][8 columns][3 channels] of pixels.
Program synthesis_program(const TransformConfig& config);

// Of a pixel's samples: 32 for each level of 8 bits, and 0 between black and white.
constexpr int kPixelUnit = 32, kLargestPixel = 1 << 12;

// Pixels at two positions for each latent, each way, [8 rows][8 columns][3 channels] each -> what the branch adds to the
// latents, before its gain.
Program analysis_program(const TransformConfig& config);

// Latents, four positions for each hyperlatent each way -> hyperlatents.
Program hyper_analysis_program(int latents, int context, int hyper);

// A program's convolutions and quality tables, stage by stage; what a stage has not is empty.
struct PackedStage {
    PackedPointwise pointwise;
    std::array<PackedPointwise, 4> shuffled;
    PackedDepthwise depthwise;
    QualityTable vector;
};

// Throws invalid_argument as `Reader` and `read_conv`.
std::vector<PackedStage> pack(const Program& program, const Reader& reader);

}  // namespace aec
