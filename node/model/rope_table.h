// RopeTable: cos and sin of every position and rotated pair, computed in double and rounded once
// (docs/numerics.md, section 3). Immutable; shared by all ranks of a node.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/view.h"
#include "node/model/model_config.h"

namespace lockstep {

class RopeTable {
 public:
  RopeTable(const ModelConfig& model, int64_t n_positions);

  View cos_sin() const;  // [n_positions, n_rot / 2, 2] f32

 private:
  int64_t n_positions_;
  int64_t n_pairs_;
  std::vector<float> values_;
};

}  // namespace lockstep
