// RouteLog: the last routing decisions, for `/v1/routes/REQUEST_ID` and `lockstep why`. Bounded: a
// new decision takes the place, and the memory, of the oldest. The I/O thread writes; any thread
// reads.
#pragma once

#include <cstddef>
#include <mutex>
#include <string_view>
#include <vector>

#include "coordinator/route/route_decision.h"

namespace lockstep {

class RouteLog {
 public:
  static constexpr size_t kMaxDecisions = 1024;

  void add(const RouteDecision& decision);
  // The decisions about a request, the oldest first: one for each prompt and attempt. Empty: none,
  // or they are too long ago.
  std::vector<RouteDecision> find(std::string_view request_id) const;

 private:
  mutable std::mutex mutex_;
  std::vector<RouteDecision> ring_;  // guarded by mutex_
  size_t next_ = 0;                  // guarded by mutex_; the oldest, once the ring is full
};

}  // namespace lockstep
