// LoadShare: bounds how many sequences a node gets because of what it has cached. Without it, nodes
// whose steps take hardly longer with more sequences would all the more attract the requests that
// share a popular prefix. (Compare consistent hashing with bounded loads: Mirrokni, Thorup and
// Zadimoghaddam, 2016.) Pure; any thread.
#pragma once

#include <algorithm>
#include <vector>

#include "coordinator/route/route_candidate.h"

namespace lockstep {

class LoadShare {
 public:
  // With the request, a node may have 1.125 times its share of all sequences, by capacity, or one
  // more than its share, and always an eighth of its capacity, and three.
  static constexpr double kMostOfShare = 1.125, kFreeCapacity = 1.0 / 8, kFreeSequences = 3;

  LoadShare(const RouteRequest& request, const std::vector<RouteCandidate>& candidates)
      : n_choices_(static_cast<double>(request.n_choices)) {
    double n_sequences = 0, capacity = 0;
    for (const RouteCandidate& candidate : candidates) {
      n_sequences += static_cast<double>(candidate.n_sequences);
      capacity += capacity_of(candidate);
    }
    usage_ = n_sequences / capacity;
    usage_after_ = (n_sequences + n_choices_) / capacity;
  }

  // Never so for all candidates: one of them has no more than its share now.
  bool is_exceeded_by(const RouteCandidate& candidate) const {
    const auto n_sequences = static_cast<double>(candidate.n_sequences);
    const double capacity = capacity_of(candidate);
    const double share = usage_after_ * capacity;
    const double most =
        std::max({kMostOfShare * share, share + 1, kFreeCapacity * capacity, kFreeSequences});
    return n_sequences > usage_ * capacity && n_sequences + n_choices_ > most;
  }

 private:
  static double capacity_of(const RouteCandidate& candidate) {
    return static_cast<double>(std::max<int64_t>(candidate.capacity, 1));
  }

  const double n_choices_;
  double usage_ = 0, usage_after_ = 0;  // of the capacity of all candidates together
};

}  // namespace lockstep
