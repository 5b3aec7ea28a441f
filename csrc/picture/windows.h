// A picture's colours are made in windows of 1024x1024 pixels, whatever its tiles are: so large tiles do not need more
// memory, and small ones do not cause more work on their margins. codec/coding/decoder.py does the same.
#pragma once

#include "base/memory.h"
#include "container/header.h"
#include "engine/executor.h"

namespace aec {

constexpr uint32_t kWindow = 1024;

struct Window {
    Area area;  // its pixels
    Rect latents;  // what it needs of the picture's latents, the margin included

    // The numbers of the tiles that hold these latents, in ascending order.
    Vector<uint64_t> tiles(const Header& header) const;
};

// The same area as the engine has it.
Rect rect_of(const Area& area);

// Cuts a region along the grid of windows. halo: the width of the margin in latents.
std::vector<Window> windows_of(const Header& header, const Area& region, int halo);

}  // namespace aec
