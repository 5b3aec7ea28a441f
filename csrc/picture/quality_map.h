// The quality of each part of a picture, as its file says it (FORMAT §8): one number, or a map with one for each block
// of 64x64 pixels.
#pragma once

#include "container/layout.h"
#include "engine/qualities.h"
#include "rans/coder_cpu.h"

namespace aec {

class PictureQuality {
public:
    // Throws Error of kind kCorrupt if no encoder with this model's tables writes such a map.
    PictureQuality(const Layout& layout, const std::shared_ptr<const Tables>& tables);

    const Qualities& whole() const { return whole_; }
    Qualities of(const Area& area) const;  // whose left and top are multiples of 64
    int highest() const { return highest_; }

private:
    Qualities whole_;
    int highest_;
};

}  // namespace aec
