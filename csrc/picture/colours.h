// The colours of a picture that the network has coded: payloads -> latents -> samples.
#pragma once

#include <functional>

#include "model/model.h"
#include "picture/canvas.h"
#include "picture/quality_map.h"

namespace aec {

// Called by the thread that decodes, with the share that is done. It may throw, to stop.
using Progress = std::function<void(double)>;

// region: the wanted part in pixels of the picture; the canvas shows its squares. Latents are kept for about two rows
// of tiles or windows, so memory does not grow with the picture. Throws Error of kind kCorrupt, which names the tile.
void decode_colours(const Layout& layout, const Model& model, const Area& region, const Canvas& canvas, int threads,
                    const Progress& progress);

}  // namespace aec
