// open_model_file: a model's file on disk, of whatever format, as a ModelFile.
#pragma once

#include <memory>
#include <string>

#include "node/model/model_file.h"

namespace lockstep {

// Maps and validates the file. Throws LoadError that names the file, and the tensor and the offset
// if one is at fault.
std::unique_ptr<ModelFile> open_model_file(const std::string& path);

}  // namespace lockstep
