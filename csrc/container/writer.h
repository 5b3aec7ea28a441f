// Writes an .aec file whose picture the network has coded (FORMAT §2). codec/container/format.py is its twin, and its
// oracle in tests.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "container/header.h"

namespace aec {

struct FileParts {
    Header header;  // its `kinds` are ignored: the blocks of metadata say them
    // The first part of each tile in row-major order, of at least 5 bytes; then the second part of each tile, and so
    // on.
    std::vector<std::string> payloads;
    std::vector<std::string> alphas;  // one for each tile if there is an alpha channel; empty for an opaque tile
    std::array<Span, kKindCount> metadata{};  // by Kind; no bytes: there is no such block
    std::string quality_map;                  // the coded map, if header.mapped
};

// These throw as write_file does, if a field is out of range, or a block of metadata cannot have this length.
void check_header(const Header& header);
void check_block_length(Kind kind, size_t size);

// Throws invalid_argument if something is not as described here or in FORMAT §2, and Error of kind kLimit if the
// picture or a block of metadata is too large.
std::string write_file(const FileParts& parts);

}  // namespace aec
