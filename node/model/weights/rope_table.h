// RopeTable: in host memory, cosine and sine of every position and rotated pair, computed in double
// and rounded once (docs/numerics.md, section 3). Immutable; shared by all ranks of a node; any
// thread.
#pragma once

#include <cstdint>

#include "common/memory/buffer.h"
#include "kernels/device.h"
#include "node/model/model_config.h"

namespace lockstep {

class RopeTable {
 public:
  // The ledger must outlive the table.
  RopeTable(const ModelConfig& model, int64_t n_positions, MemoryLedger& ledger);

  // The bytes of such a table.
  static int64_t bytes(const ModelConfig& model, int64_t n_positions);

  View cos_sin() const;  // [n_positions, n_rot / 2, 2] f32

 private:
  // constant after construction
  int64_t n_positions_;
  int64_t n_pairs_;
  Buffer values_;  // [n_positions, n_pairs, 2] f32
};

// The table in the memory of one rank's device: on a CPU the table itself, elsewhere a copy.
class DeviceRopeTable {
 public:
  // `table` and the device must outlive the object.
  DeviceRopeTable(const RopeTable& table, Device& device, MemoryLedger& ledger);

  const View& cos_sin() const { return cos_sin_; }  // as RopeTable's

 private:
  // constant after construction
  DeviceBuffer copy_;
  View cos_sin_;
};

}  // namespace lockstep
