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

    Qualities whole() const;
    Qualities of(const Area& area) const;  // whose left and top are multiples of 64
    int highest() const { return highest_; }

private:
    int one_, highest_, columns_ = 0;
    std::vector<uint8_t> map_;  // [rows][columns] of blocks; empty: the quality is one_ everywhere
};

}  // namespace aec
