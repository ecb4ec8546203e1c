// Which tensors a model of one configuration consists of. A tensor that is missing, has another
// shape or type, or that nothing would read, is a LoadError naming it: an ignored tensor is a
// silently different model.
#pragma once

#include "node/model/model_file.h"

namespace lockstep {

void check_model_tensors(const ModelFile& file);

}  // namespace lockstep
