// CommunicatorGroup: the communicators of a RankGroup's ranks, and the group that takes their place
// when a step has failed: a group of which one call has failed never works again. A node whose
// ranks cannot form a group again ends with exit code 70, and its streams continue elsewhere.
// Formed and replaced by the engine thread while every rank is idle.
#pragma once

#include <cstdint>
#include <functional>

#include "node/model/rank/rank_group.h"

namespace lockstep {

class CommunicatorGroup {
 public:
  // Forms the first group, on the configuration's devices. The configuration must outlive the
  // object. `progress` moves while any rank works; called on any thread. Throws LoadError.
  CommunicatorGroup(const RankGroupConfig& config, std::function<uint64_t()> progress);

  Communicator& of_rank(size_t rank) { return *ranks_[rank]; }
  // Ends the group and forms a new one, or ends the process.
  void replace();

 private:
  Result<DeviceProvider::Group> form() const;

  // constant after construction
  const RankGroupConfig& config_;
  const std::function<uint64_t()> progress_;

  DeviceProvider::Group ranks_;  // [n_ranks]
};

}  // namespace lockstep
