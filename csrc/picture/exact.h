// Exact pictures (FORMAT §9): no model, and no network.
#pragma once

#include "container/layout.h"
#include "picture/canvas.h"
#include "picture/colours.h"

namespace aec {

// Decodes the tiles that the canvas touches. Those that are missing in a partial file are gray, and opaque. Throws
// Error of kind kCorrupt, which names the tile.
void decode_exact_picture(const Layout& layout, const Canvas& canvas, int threads, const Progress& progress);

}  // namespace aec
