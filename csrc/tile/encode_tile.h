// Encodes one tile of a picture: samples -> latents -> symbols -> the parts of a payload (FORMAT §3 to §8).
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "base/memory.h"
#include "engine/analysis.h"
#include "engine/nets_cpu.h"
#include "engine/synthesis.h"
#include "rans/rans.h"
#include "tile/refinement.h"

namespace aec {

// What a model has for encoding. Many threads may use it at once.
struct EncoderModel {
    std::shared_ptr<const Analysis> analysis;
    std::shared_ptr<const HyperAnalysis> hyper_analysis;
    std::shared_ptr<const Nets> nets;
    std::shared_ptr<const Tables> tables;
    std::vector<float> levels;  // of each quality, [kQualities]
    Tune tune;
    // Of refinement; null for an encoder that does not refine.
    std::shared_ptr<const Synthesis> synthesis;
    std::shared_ptr<const Projection> projection;
};

// How the symbols of a tile are chosen.
struct Choices {
    std::array<int16_t, kIndexCount> dead_zones = {};  // of the latents, by index, as in choose_symbol
    std::vector<bool> first = {};  // for each channel of the latents, whether the first of two passes codes it; empty:
                                   // there is one pass
};

// Latents and hyperlatents, with 12 fractional bits: [rows][columns][channels] of the tile, and of its blocks.
struct TileLatents {
    Vector<int16_t> y, z;
};

// The symbols of a tile, one segment after the other.
struct TileSymbols {
    Vector<uint64_t> segments;  // their lengths
    Vector<int16_t> symbols;
    Vector<uint8_t> indexes;
    Vector<int16_t> latents;  // what a decoder gets of them, [rows][columns][channels]
};

// In all that follows: `area` and `tile` are in pixels; their left and top are multiples of 16, and of 64 if there is a
// map of qualities. `whole` are the qualities of the whole picture, `qualities` those of the tile. `threads` is the
// most threads to use; no result depends on it.

// The latents of an area: [rows][columns][channels].
Vector<int16_t> latents_of(const EncoderModel& model, const SampleView& samples, const Rect& area,
                                const Qualities& whole, int threads);

// The hyperlatents of a tile with these latents, [rows][columns][channels].
Vector<int16_t> hyperlatents_of(const EncoderModel& model, int rows, int columns, const int16_t* y,
                                     const Qualities& qualities, int threads);

// The latents of a tile, refined if the effort, 1 to kMaxEffort, asks for it. Symbols of refined ones should be chosen
// in the same way again. progress: called after each iteration of the refinement.
TileLatents analyse_tile(const EncoderModel& model, const SampleView& samples, const Rect& tile, const Qualities& whole,
                         int effort, const Choices& choices, int threads, const std::function<void()>& progress);

TileSymbols choose_symbols(const EncoderModel& model, int rows, int columns, const int16_t* y, const int16_t* z,
                           const Qualities& qualities, const Choices& choices, int threads);

// The parts of the payload, one for each segment.
Vector<ByteString> pack_symbols(const EncoderModel& model, const TileSymbols& chosen, int threads);

// All of the above.
Vector<ByteString> encode_tile(const EncoderModel& model, const SampleView& samples, const Rect& tile,
                                     const Qualities& whole, int effort, const Choices& choices, int threads,
                                     const std::function<void()>& progress);

}  // namespace aec
