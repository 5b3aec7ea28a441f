#include "engine/executor_cuda.cuh"

#include <algorithm>
#include <stdexcept>

namespace aec {

constexpr int kBeforeLayers = -1;

// The regions of shared memory that hold planes during a round. A plane has one from the layer that writes it (or from
// kBeforeLayers, if it is copied or computed before) to the last layer that reads it. Regions of planes that are not
// held at the same time may overlap.
class CudaExecution::Regions {
public:
    void hold(int plane, int channels, int layer) {
        for (Held& held : held_)
            if (held.plane == plane) {
                held.last = layer;
                return;
            }
        held_.push_back({plane, layer, layer, {0, pitch_of(round_up(channels, kDepth))}});
    }

    bool has(int plane) const {
        return std::any_of(held_.begin(), held_.end(), [&](const Held& held) { return held.plane == plane; });
    }

    // To be called once, when all planes are known.
    void place() {
        for (size_t i = 0; i < held_.size(); ++i) {
            Held& held = held_[i];
            for (size_t j = 0; j < i;) {
                const Held& other = held_[j++];
                const bool overlap = held.first <= other.last && other.first <= held.last &&
                                     held.region.before < other.region.end() && other.region.before < held.region.end();
                if (overlap) held.region.before = other.region.end(), j = 0;
            }
        }
    }

    Region of(int plane) const {
        for (const Held& held : held_)
            if (held.plane == plane) return held.region;
        return {};
    }

    int pitch() const {
        int most = 0;
        for (const Held& held : held_) most = std::max(most, held.region.end());
        return most;
    }

private:
    struct Held {
        int plane, first, last;
        Region region;
    };
    std::vector<Held> held_;
};

CudaExecution::CudaExecution(const ProgramImage& net, Plan plan, const uint8_t* image, uint8_t* workspace)
    : net_(net), plan_(std::move(plan)), image_(image) {
    constexpr uint64_t kAlignment = 256;
    const Program& program = net_.program;
    for (size_t i = 0; i < program.planes.size(); ++i) {
        const Rect& rect = plan_.needed[i];
        const int channels = padded_channels(program.planes[i]);
        planes_.push_back({nullptr, rect.rows(), rect.columns(), channels, rect.y0, rect.x0});
        if (plan_.is_local[i] || program.is_input(static_cast<int>(i))) continue;
        planes_.back().data = reinterpret_cast<int16_t*>(reinterpret_cast<uintptr_t>(workspace) + bytes_);
        const uint64_t n = static_cast<uint64_t>(rect.rows()) * rect.columns() * channels * sizeof(int16_t);
        bytes_ += (n + kAlignment - 1) / kAlignment * kAlignment;
    }
}

// Whether what was written to a plane before this stage is read by it or a later one, or is the program's output.
bool CudaExecution::is_read_after(size_t stage, int plane) const {
    for (; stage < net_.program.stages.size(); ++stage) {
        const Stage& later = net_.program.stages[stage];
        if (later.in == plane || (later.out == plane && later.adds)) return true;
        if (later.out == plane && later.map != Map::kShuffle2) return false;
    }
    return plane == net_.program.output;
}

// Whether stages from `stage` to last - 1 read a plane.
bool CudaExecution::is_read_between(size_t stage, size_t last, int plane) const {
    const std::vector<Stage>& stages = net_.program.stages;
    return std::any_of(stages.begin() + stage, stages.begin() + last, [&](const Stage& later) {
        return later.in == plane || (later.out == plane && later.adds);
    });
}

Layer CudaExecution::layer_of(size_t i, int variant, const Round& round, const Regions& regions) const {
    const std::vector<Stage>& stages = net_.program.stages;
    const Stage& stage = stages[i];
    const ProgramImage::StageImage& from = net_.stages[i];
    Layer layer;
    layer.conv = variant_of(from.conv, variant);
    layer.in = regions.of(stage.in);
    layer.out = regions.of(stage.out);
    if (!stage.vector.empty())
        layer.vector = reinterpret_cast<const int16_t*>(reinterpret_cast<uintptr_t>(image_) + from.vector +
                                                        static_cast<uintptr_t>(variant) * from.vector_stride);
    layer.adds_to_out = stage.adds;
    layer.is_leaky = stage.leaky;
    layer.stays = is_read_between(i + 1, round.last, stage.out);
    const bool is_written_again = std::any_of(stages.begin() + i + 1, stages.begin() + round.last,
                                              [&](const Stage& later) { return later.out == stage.out; });
    if (!is_written_again && is_read_after(round.last, stage.out)) layer.memory = planes_[stage.out];
    if (stage.map == Map::kShuffle2) layer.quarter = variant;
    return layer;
}

TileProgram CudaExecution::program_of(const Round& round) const {
    const std::vector<Stage>& stages = net_.program.stages;
    Regions regions;
    struct Load {
        int plane, corners;
    };
    std::vector<Load> loads;  // what the round reads without having written it
    int layer = 0;
    const auto read = [&](int plane, int corners, int last) {
        const int channels = corners * planes_[plane].channels;
        if (!regions.has(plane)) {
            loads.push_back({plane, corners});
            regions.hold(plane, channels, kBeforeLayers);
        }
        regions.hold(plane, channels, last);
    };
    for (size_t i = round.first; i < round.last; ++i) {
        const Stage& stage = stages[i];
        if (stage.op == Op::kDepthwise) {
            regions.hold(stage.out, planes_[stage.out].channels, kBeforeLayers);
            continue;
        }
        const int next = layer + static_cast<int>(stage.variants.size());
        read(stage.in, stage.map == Map::kUnshuffle2 ? 4 : 1, next - 1);
        if (stage.adds) read(stage.out, 1, next - 1);
        if (is_read_between(i + 1, round.last, stage.out)) regions.hold(stage.out, planes_[stage.out].channels, layer);
        layer = next;
    }
    regions.place();

    TileProgram to;
    to.y0 = round.rect.y0, to.x0 = round.rect.x0;
    to.height = round.rect.rows(), to.width = round.rect.columns();
    to.image = image_;
    to.pitch = regions.pitch();
    for (size_t i = round.first; i < round.last; ++i) {
        const Stage& stage = stages[i];
        if (stage.op == Op::kDepthwise) {
            to.space = net_.stages[i].space;
            to.s = planes_[stage.in];
            to.s_to = regions.of(stage.out);
            continue;
        }
        for (int variant = 0; variant < static_cast<int>(stage.variants.size()); ++variant) {
            if (to.n_layers == kMaxLayers) throw std::logic_error("a round has more layers than TileProgram");
            to.layers[to.n_layers++] = layer_of(i, variant, round, regions);
        }
    }
    size_t n_sources = 0;
    for (const auto& [plane, corners] : loads) {
        const DevicePlane& from = planes_[plane];
        if (to.s.data && !to.t.data) {  // in a Block, what its result is added to
            to.t = from;
            to.t_to = regions.of(plane);
            continue;
        }
        if (n_sources == std::size(to.sources)) throw std::logic_error("a round reads more planes than TileProgram");
        to.sources[n_sources++] = {from, from.channels, corners, regions.of(plane)};
    }
    return to;
}

void CudaExecution::run(const DevicePlane& input, const DeviceQualities& qualities, int64_t large, Launch where) {
    planes_[net_.program.inputs[0]] = input;
    for (const Round& round : plan_.rounds) {
        TileProgram program = program_of(round);
        program.qualities = qualities;
        program.qualities.block_log2 += round.resolution == 4 ? 2 : round.resolution - 1;
        run_tiles(program, large, where);
    }
}

bool CudaExecution::fits() const {
    return std::all_of(plan_.rounds.begin(), plan_.rounds.end(),
                       [&](const Round& round) { return aec::fits(program_of(round)); });
}

}  // namespace aec
