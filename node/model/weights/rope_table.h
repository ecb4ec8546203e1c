// RopeTable: cosine and sine of every position and rotated pair, computed in double and rounded
// once (docs/numerics.md, section 3). Immutable; shared by all ranks of a node; any thread.
#pragma once

#include <cstdint>

#include "common/memory/buffer.h"
#include "kernels/view.h"
#include "node/model/model_config.h"

namespace lockstep {

class RopeTable {
 public:
  // The ledger must outlive the table.
  RopeTable(const ModelConfig& model, int64_t n_positions, MemoryLedger& ledger);

  View cos_sin() const;  // [n_positions, n_rot / 2, 2] f32

 private:
  // constant after construction
  int64_t n_positions_;
  int64_t n_pairs_;
  Buffer values_;  // [n_positions, n_pairs, 2] f32
};

}  // namespace lockstep
