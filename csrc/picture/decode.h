// Decodes a picture of any kind, or a part of it, to the caller's memory.
#pragma once

#include "embedded/decoders.h"
#include "picture/colours.h"

namespace aec {

// region: the wanted part in pixels of the picture; the canvas shows its squares. model: null for pictures that need
// none. Throws Error.
void decode_picture(const Layout& layout, const Model* model, const Area& region, const Canvas& canvas, int threads,
                    const EmbeddedDecoder& embedded, const Progress& progress);

// The alpha channel of a picture that the network has coded: a picture for each tile, none for opaque ones.
void decode_alpha(const Layout& layout, const Canvas& canvas, const EmbeddedDecoder& embedded,
                  const Progress& progress);
// What the header of a tile's coded alpha says. Throws Error of kind kCorrupt if it is not of the kind, the size or the
// depth that FORMAT §2.8 wants.
Still still_of_alpha(Span file, const Area& area, int depth);
// Whether a PNG, WebP or JPEG file is a sound picture whose pixels are all opaque; decodes it to see. Throws Error.
bool is_opaque(const Still& still, Span file, const EmbeddedDecoder& embedded);
// A picture that is a PNG, WebP or JPEG file.
void decode_stored(const Layout& layout, const Canvas& canvas, const EmbeddedDecoder& embedded);

}  // namespace aec
