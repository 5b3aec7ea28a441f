// The PNG, WebP and JPEG files inside .aec files (FORMAT §2.8, §2.9): what their headers say, checked before anybody
// decodes them; and the orientation that they name.
#pragma once

#include "base/error.h"
#include "base/span.h"

namespace aec {

enum class StillKind { kNone, kPng, kWebp, kJpeg };
const char* name_of(StillKind kind);

// By its first bytes; kNone if it is none of these.
StillKind kind_of(Span file);

struct Still {
    StillKind kind;
    uint32_t width, height;
    int depth = 8;  // bits a sample when it is decoded, 8 or 16
    bool gray = false;  // one colour channel; WebP has always three
    bool cmyk = false;  // four colour channels
};

// Parses the header of a file, and of a JPEG its segments. Throws Error of kind kCorrupt if it is damaged, no single
// still picture, or a JPEG of too many scans or without its end marker.
Still still_of(Span file);

// The orientation, 1 to 8, that EXIF or, if EXIF has none, XMP names; 1 if absent or damaged.
int orientation_of(Span exif, Span xmp);
// The same of the blocks in a file.
int orientation_of(Span file);

}  // namespace aec
