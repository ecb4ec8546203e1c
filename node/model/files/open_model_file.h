// open_model_file: opens a model's file on disk, of any supported format, as a ModelFile.
#pragma once

#include <memory>
#include <string>

#include "node/model/model_file.h"

namespace lockstep {

// Maps and validates the file. Throws LoadError naming the file, and the tensor and offset if a
// tensor is at fault.
std::unique_ptr<ModelFile> open_model_file(const std::string& path);

}  // namespace lockstep
