// Family: the models of one architecture: their tensors and what else is the same in all of them.
// Constants; any thread.
#pragma once

#include <span>
#include <string_view>

#include "node/model/families/tensor_spec.h"

namespace lockstep {

struct Family {
  std::string_view architecture;  // GGUF general.architecture
  RopeStyle rope_style;
  std::span<const TensorSpec> tensors;

  // The row of this role, which the table must have.
  const TensorSpec& spec(TensorRole role) const;
};

std::span<const Family> families();
const Family* find_family(std::string_view architecture);  // null: not supported
// The family of a model that was read from a file.
const Family& family_of(const ModelConfig& model);

}  // namespace lockstep
