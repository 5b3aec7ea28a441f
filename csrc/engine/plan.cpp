#include "engine/plan.h"

#include <algorithm>

namespace aec {
namespace {

Rect joined(const Rect& a, const Rect& b) {
    if (a.empty()) return b;
    if (b.empty()) return a;
    return {std::min(a.y0, b.y0), std::max(a.y1, b.y1), std::min(a.x0, b.x0), std::max(a.x1, b.x1)};
}

Rect widened(const Rect& r) { return r.empty() ? r : Rect{r.y0 - 1, r.y1 + 1, r.x0 - 1, r.x1 + 1}; }

// The positions of the coarser plane that a kShuffle2 stage needs to fill a rectangle of the finer plane.
Rect halved(const Rect& r) { return {r.y0 / 2, (r.y1 + 1) / 2, r.x0 / 2, (r.x1 + 1) / 2}; }

}  // namespace

Plan::Plan(const Program& program, int rows, int columns, Rect area)
    : rows(rows), columns(columns), needed(program.planes.size(), Rect{}), is_local(program.planes.size(), true) {
    find_rounds(program);
    find_rects(program, area);
    find_local_planes(program);
}

void Plan::find_rounds(const Program& program) {
    for (size_t i = 0; i < program.stages.size(); ++i) {
        const Stage& stage = program.stages[i];
        const int resolution = std::min(program.planes[stage.in].resolution, program.planes[stage.out].resolution);
        if (rounds.empty() || stage.op == Op::kDepthwise || rounds.back().resolution != resolution)
            rounds.push_back({i, i, resolution, Rect{}});
        rounds.back().last = i + 1;
    }
}

Rect Plan::clipped(Rect r, int resolution) const {
    return {std::max(r.y0, 0), std::min(r.y1, rows * resolution), std::max(r.x0, 0), std::min(r.x1, columns * resolution)};
}

// Sets the rectangles of the rounds and `needed`, from the last stage to the first: a stage computes what later stages
// read. wanted: for each plane, what the stages after the current one read.
void Plan::find_rects(const Program& program, Rect area) {
    std::vector<Rect> wanted(program.planes.size(), Rect{});
    wanted[program.output] = area;
    for (size_t r = rounds.size(); r-- > 0;) {
        Round& round = rounds[r];
        // All stages of a round run together, on the union of the rectangles that are wanted of each of them.
        std::vector<Rect> after = wanted;
        for (size_t i = round.last; i-- > round.first;) {
            const Stage& stage = program.stages[i];
            const Rect here = stage.map == Map::kShuffle2 ? halved(after[stage.out]) : after[stage.out];
            round.rect = joined(round.rect, here);
            if (stage.map != Map::kUnshuffle2) after[stage.in] = joined(after[stage.in], here);
        }
        for (size_t i = round.last; i-- > round.first;) {
            const Stage& stage = program.stages[i];
            const Rect written = stage.map == Map::kShuffle2 ? doubled(round.rect) : round.rect;
            needed[stage.out] = joined(needed[stage.out], written);
            wanted[stage.out] = stage.adds ? joined(wanted[stage.out], round.rect) : Rect{};
            const Rect read = stage.op == Op::kDepthwise       ? clipped(widened(round.rect), round.resolution)
                              : stage.map == Map::kUnshuffle2 ? doubled(round.rect)
                                                              : round.rect;
            wanted[stage.in] = joined(wanted[stage.in], read);
            needed[stage.in] = joined(needed[stage.in], read);
        }
    }
}

// A plane is local if every round that uses it writes it first and then reads it at the same position.
void Plan::find_local_planes(const Program& program) {
    for (const int input : program.inputs) is_local[input] = false;
    is_local[program.output] = false;
    for (const Round& round : rounds) {
        std::vector<bool> written(program.planes.size(), false);
        for (size_t i = round.first; i < round.last; ++i) {
            const Stage& stage = program.stages[i];
            if (stage.op == Op::kDepthwise || !written[stage.in]) is_local[stage.in] = false;
            if ((stage.adds && !written[stage.out]) || stage.map == Map::kShuffle2) is_local[stage.out] = false;
            written[stage.out] = true;
        }
    }
}

}  // namespace aec
