#include "node/model/model_file.h"

#include "common/load_error.h"
#include "node/model/gguf_model.h"

namespace lockstep {

std::unique_ptr<ModelFile> ModelFile::open(const std::string& path) {
  try {
    return std::make_unique<GgufModel>(std::make_unique<MappedFile>(path));
  } catch (const LoadError& error) {
    throw LoadError(path + ": " + error.what());
  }
}

}  // namespace lockstep
