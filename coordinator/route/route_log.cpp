#include "coordinator/route/route_log.h"

namespace lockstep {

void RouteLog::add(const RouteDecision& decision) {
  const std::lock_guard lock(mutex_);
  if (ring_.size() < kMaxDecisions) {
    ring_.push_back(decision);
    return;
  }
  ring_[next_] = decision;
  next_ = (next_ + 1) % kMaxDecisions;
}

std::vector<RouteDecision> RouteLog::find(std::string_view request_id) const {
  const std::lock_guard lock(mutex_);
  std::vector<RouteDecision> found;
  for (size_t i = 0; i < ring_.size(); ++i) {
    const RouteDecision& decision = ring_[(next_ + i) % ring_.size()];
    if (decision.request_id == request_id) found.push_back(decision);
  }
  return found;
}

}  // namespace lockstep
