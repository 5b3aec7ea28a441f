// From the payload of one tile to its latents (FORMAT §3 to §8): the entropy networks predict, the entropy coder reads.
#pragma once

#include <memory>
#include <vector>

#include "base/span.h"
#include "base/status.h"
#include "engine/nets_pack.h"
#include "engine/qualities.h"
#include "rans/rans.h"

namespace aec {

struct TileSize {
    int rows, columns;  // of latents
};

// qualities: of the tile's blocks. is_prefix: the payload may end early, and latents that it does not hold take the
// means that are predicted. first: for each channel, whether the first of two passes codes it; empty: there is one
// pass. latents: [rows][columns][channels], is written. Returns what is wrong with the payload, if anything.
Fault decode_tile(const std::shared_ptr<const Nets>& nets, const std::shared_ptr<const Tables>& tables,
                  const Qualities& qualities, TileSize size, Span payload, bool is_prefix,
                  const std::vector<bool>& first, int threads, int16_t* latents);

}  // namespace aec
