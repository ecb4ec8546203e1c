#include "node/model/files/open_model_file.h"

#include <memory>

#include "common/load_error.h"
#include "node/model/files/gguf/gguf_model.h"

namespace lockstep {

std::unique_ptr<ModelFile> open_model_file(const std::string& path) {
  std::shared_ptr<const MappedFile> file;
  try {
    file = std::make_shared<const MappedFile>(path);
    auto model = std::make_unique<GgufModel>(file);
    file->check_unchanged();
    return model;
  } catch (const LoadError& error) {
    if (file) file->check_unchanged();  // throws if a changed file explains the error
    throw LoadError(path + ": " + error.what());
  }
}

}  // namespace lockstep
