// NodeKvStatus: how well the index follows one node, for metrics and the admin port. Plain data.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "coordinator/index/kv_resync.h"

namespace lockstep {

struct NodeKvStatus {
  std::string_view state = "off";  // of the mirror: "off", "loading", "following" or "replaying"
  uint64_t n_blocks = 0;
  uint64_t n_batches_behind = 0;
  std::array<uint64_t, kKvResyncCauses> n_resyncs{};  // by KvResyncCause, since the start
  uint64_t n_dropped = 0;                             // live batches of no use, since the start

  friend bool operator==(const NodeKvStatus&, const NodeKvStatus&) = default;
};

}  // namespace lockstep
