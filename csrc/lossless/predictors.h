// Which neighbours tell what of a sample (FORMAT §9.3, §9.4). Planes: 0 is the sample's own, 1 the plane that was coded
// just before it, 2 the plane before that.
#pragma once

#include <algorithm>

#include "lossless/planes.h"
#include "lossless/sample_coder.h"

namespace aec {

struct Neighbour {
    int8_t plane, dx, dy;
};

// Neighbours in the order of what they tell. Each of the two fitted predictors sees the first of them.
inline constexpr Neighbour kAlone[] = {
    {0, 0, -1},  {0, -1, -1}, {0, 1, -1}, {0, -2, 0},  {0, 0, -2},  {0, 2, -1},  {0, -2, -1},
    {0, 1, -2},  {0, -1, -2}, {0, 2, -2}, {0, -2, -2}, {0, -3, 0},  {0, 0, -3},  {0, 3, -1},
    {0, -3, -1}, {0, -1, -3}, {0, 1, -3}, {0, 3, -2},  {0, -3, -2},
};
inline constexpr Neighbour kAfterOne[] = {
    {0, 0, -1}, {1, 0, 0},  {1, 0, -1}, {1, 1, 0},   {1, 0, 1},  {0, -1, -1}, {0, 1, -1},  {1, -1, -1},
    {1, 1, -1}, {1, -1, 1}, {1, 1, 1},  {0, -2, 0},  {0, 0, -2}, {0, 2, -1},  {1, -2, 0},  {1, 0, -2},
    {1, 2, 0},  {1, 0, 2},  {1, 2, -1}, {1, -2, -1}, {1, 2, 1},  {1, -2, 1},  {0, -2, -1},
};
inline constexpr Neighbour kAfterTwo[] = {
    {0, 0, -1},  {1, 0, 0},  {2, 0, 0},  {1, 0, -1}, {0, -1, -1}, {0, 1, -1}, {2, 0, -1},  {1, 1, 0},
    {1, 0, 1},   {2, 1, 0},  {2, 0, 1},  {1, -1, -1}, {1, 1, -1}, {1, -1, 1}, {1, 1, 1},   {0, -2, 0},
    {0, 0, -2},  {0, 2, -1}, {1, -2, 0}, {1, 0, -2}, {1, 2, 0},   {1, 0, 2},  {1, 2, -1},  {1, -2, -1},
    {1, 2, 1},   {1, -2, 1}, {2, -1, -1}, {2, 1, -1}, {2, -1, 1}, {2, 1, 1},  {2, -2, 0},  {2, 0, -2},
    {2, 2, 0},   {2, 0, 2},  {2, 2, -1}, {2, -2, -1}, {2, 2, 1},  {2, -2, 1}, {0, -2, -1},
};

constexpr int kFitted = 2, kSimple = 10, kPredictors = kFitted + kSimple;

struct Template {
    const Neighbour* neighbours;
    int counts[kFitted];  // how many of them each fitted predictor sees
};

inline constexpr Template kTemplates[3] = {{kAlone, {19, 8}}, {kAfterOne, {23, 11}}, {kAfterTwo, {39, 10}}};
constexpr int kDecays[kFitted] = {4, 1};  // of the sums that they are fitted to

// The ten simple predictions, in units of 2^-4 of a level, not clamped. planes: the sample in each of its planes.
inline void predict_simply(const uint16_t* const* planes, int count, int stride, int* to) {
    const auto at = [&](int plane, int dx, int dy) { return int{planes[plane][dy * stride + dx]}; };
    const int w = at(0, -1, 0), n = at(0, 0, -1), nw = at(0, -1, -1), ne = at(0, 1, -1);
    // How much the sample of another plane exceeds its own neighbour.
    const auto rise = [&](int plane, int dx, int dy) { return at(plane, 0, 0) - at(plane, dx, dy); };
    if (count == 1) {
        const int ww = at(0, -2, 0), nn = at(0, 0, -2);
        to[0] = 16 * std::clamp(w + n - nw, std::min(w, n), std::max(w, n));
        to[1] = 16 * (w + ne - n);
        to[2] = 8 * (n + ne + w - ww);
        to[3] = 16 * (2 * n - nn);
        to[4] = 16 * w;
        to[5] = 16 * n;
        to[6] = 16 * ne;
        to[7] = 8 * (w + ne);
        to[8] = 16 * (2 * w - ww);
        to[9] = 4 * (3 * w + 3 * n - 2 * nw);
        return;
    }
    const int middle = 8 * (w + n), rises = rise(1, -1, 0) + rise(1, 0, -1);
    to[0] = middle + 8 * rises;
    to[1] = 16 * (w + rise(1, -1, 0));
    to[2] = 16 * (n + rise(1, 0, -1));
    to[3] = 16 * (nw + rise(1, -1, -1));
    to[4] = middle;
    to[5] = middle + 16 * rises;
    if (count == 2) {
        to[6] = 16 * (ne + rise(1, 1, -1));
        to[7] = 16 * (w + n - nw);
        to[8] = 16 * w;
        to[9] = 16 * n;
    } else {
        to[6] = middle + 8 * (rise(2, -1, 0) + rise(2, 0, -1));
        to[7] = 16 * (w + rise(2, -1, 0));
        to[8] = 16 * (n + rise(2, 0, -1));
        to[9] = 16 * w + 8 * (rise(1, -1, 0) + rise(2, -1, 0));
    }
}

}  // namespace aec
