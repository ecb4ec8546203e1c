// Family: the models of one architecture: their tensors and what else is the same in all of them.
// Constants; any thread.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "node/model/families/tensor_spec.h"

namespace lockstep {

struct Family {
  std::string_view architecture;  // GGUF general.architecture
  RopeStyle rope_style;
  std::span<const TensorSpec> tensors;
  bool qk_norm = false;
  bool has_window = false;  // attention.sliding_window is the window of every layer
  int unrotated_every = 0;  // every n-th layer, the first being number 1, has no RoPE; 0 = none

  const TensorSpec* find(TensorRole role) const;  // null: the table has no such row
  // The row of this role, which the table must have.
  const TensorSpec& spec(TensorRole role) const;
  // window: of the file; 0 if its layers have none.
  std::vector<LayerConfig> layers(int n_layers, int64_t window) const;
};

std::span<const Family> families();
const Family* find_family(std::string_view architecture);  // null: not supported
// The family of a model that was read from a file.
const Family& family_of(const ModelConfig& model);

}  // namespace lockstep
