// CommunicatorGroup: the communicators of a RankGroup's ranks, and the group that takes their place
// when a step has failed: a group of which one call has failed never works again. A node whose
// ranks cannot form a group again ends with exit code 70, and its streams continue elsewhere.
// Formed and replaced by the engine thread while every rank is idle; progress() by any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "common/clock.h"
#include "node/model/rank/rank_group.h"

namespace lockstep {

class CommunicatorGroup {
 public:
  // Forms the first group, on the configuration's devices. Configuration and clock must outlive the
  // object. rank_progress moves while any rank works; called on any thread. Throws LoadError.
  CommunicatorGroup(const RankGroupConfig& config, const Clock& clock,
                    std::function<uint64_t()> rank_progress);

  Communicator& of_rank(size_t rank) { return *ranks_[rank]; }
  // Ends the group and forms a new one, or ends the process.
  void replace();
  // Any thread. Changes with every call while replace() runs, until DeviceProvider::longest_forming
  // has passed: a group forms inside of NCCL, which has a deadline and shows no progress.
  uint64_t progress() const;

 private:
  Result<DeviceProvider::Group> form() const;

  // constant after construction
  const RankGroupConfig& config_;
  const Clock& clock_;
  const std::function<uint64_t()> rank_progress_;

  std::atomic<Clock::TimePoint> until_{};  // the deadline of the replace() that runs, or the epoch
  mutable std::atomic<uint64_t> n_calls_{0};  // of progress() before such a deadline
  DeviceProvider::Group ranks_;               // [n_ranks]
};

}  // namespace lockstep
