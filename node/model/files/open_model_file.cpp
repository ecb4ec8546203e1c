#include "node/model/files/open_model_file.h"

#include <filesystem>
#include <memory>

#include "common/load_error.h"
#include "node/model/files/gguf/gguf_model.h"
#include "node/model/files/huggingface/huggingface_model.h"

namespace lockstep {

namespace {

std::unique_ptr<ModelFile> open_folder(const std::string& path) {
  try {
    return std::make_unique<HuggingFaceModel>(path);
  } catch (const LoadError& error) {
    throw LoadError(path + ": " + error.what());
  }
}

}  // namespace

std::unique_ptr<ModelFile> open_model_file(const std::string& path) {
  std::error_code not_found;
  if (std::filesystem::is_directory(path, not_found)) return open_folder(path);
  std::shared_ptr<const MappedFile> file;
  try {
    file = std::make_shared<const MappedFile>(path);
    auto model = std::make_unique<GgufModel>(file);
    model->check_unchanged();
    return model;
  } catch (const LoadError& error) {
    if (file) file->check_unchanged();  // throws if a changed file explains the error
    throw LoadError(path + ": " + error.what());
  }
}

}  // namespace lockstep
