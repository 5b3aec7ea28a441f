// Files on disk, and the search for the model that a picture needs.
#pragma once

#include <string>

#include "base/memory.h"
#include "model/model.h"

namespace aec {

// Reads a whole file. Throws Error of kind kIo, which names it.
Vector<uint8_t> read_file(const std::string& path);

std::shared_ptr<const Model> load_model(const std::string& path, int threads);
// folders: separated as in PATH. Takes the first file with this id that can be loaded. Throws Error: of kind kModel if
// none of them has one, else that of the first file.
std::shared_ptr<const Model> find_model(const ModelId& id, const std::string& folders, int threads);

}  // namespace aec
