// open_model_file: opens a model on disk as a ModelFile: a GGUF file, or a folder of Hugging Face.
#pragma once

#include <memory>
#include <string>

#include "node/model/model_file.h"

namespace lockstep {

// Maps and validates the file, or the folder's files. Throws LoadError naming the path, and the
// tensor and offset if a tensor is at fault.
std::unique_ptr<ModelFile> open_model_file(const std::string& path);

}  // namespace lockstep
