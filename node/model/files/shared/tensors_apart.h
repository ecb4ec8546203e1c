// check_apart: checks that no two tensors of one file have the same name or share bytes. Throws
// LoadError naming both.
#pragma once

#include <vector>

#include "node/model/model_file.h"

namespace lockstep {

void check_apart(const std::vector<Tensor>& tensors);

}  // namespace lockstep
