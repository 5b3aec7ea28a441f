// Writes an .aec file (FORMAT §2). codec/container/format.py is its twin, and its
// oracle in tests.
#pragma once

#include <array>
#include <string>

#include "base/memory.h"
#include "container/header.h"

namespace aec {

struct FileParts {
    Header header;  // its `kinds` are ignored: the blocks of metadata say them
    // The first part of each tile in row-major order, of at least 5 bytes; then the second part of each tile, and so
    // on. Of a stored picture: its file.
    Vector<ByteString> payloads;
    Vector<ByteString> alphas;  // one for each tile if header.alpha_apart(); empty for an opaque tile
    std::array<Span, kKindCount> metadata{};  // by Kind; no bytes: there is no such block
    ByteString quality_map;                  // the coded map, if header.mapped
};

// These throw as write_file does, if a field is out of range, or a block of metadata cannot have this length.
void check_header(const Header& header);
void check_block_length(Kind kind, size_t size);

// Throws invalid_argument if something is not as described here or in FORMAT §2, and Error of kind kLimit if the
// picture or a block of metadata is too large.
ByteString write_file(const FileParts& parts);

}  // namespace aec
