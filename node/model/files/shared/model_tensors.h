// check_model_tensors: checks that a file has exactly the tensors of its ModelConfig. Throws
// LoadError naming the tensor if one is missing, has another shape or type, or would not be read: a
// tensor that is ignored means a model that silently computes something else.
#pragma once

#include "node/model/model_file.h"

namespace lockstep {

void check_model_tensors(const ModelFile& file);

}  // namespace lockstep
