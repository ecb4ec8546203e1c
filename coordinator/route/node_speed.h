// NodeSpeed: the step times by which a request's cost at each node is predicted. Nodes with the
// same back end compute alike, but each fits its own few steps: the fits differ by noise, and a
// node that was slow for a moment, and got no requests for it, would never learn that it is as fast
// as before. So all nodes of a back end are given the times of the one of them in the middle, times
// how much slower or faster a node is, within limits. Reused from request to request. I/O thread
// only.
#pragma once

#include <vector>

#include "coordinator/route/route_candidate.h"

namespace lockstep {

class NodeSpeed {
 public:
  // A node counts as slower or faster than the middle one of its back end by at most this factor.
  static constexpr double kMostFactor = 1.25;

  // [n_candidates]. A node that has not told its times has those of its back end, else those of any
  // other candidate, else kUnknownStepTimes. Valid until the next call.
  const std::vector<wire::StepTimes>& times(const RouteRequest& request, double n_outputs,
                                            const std::vector<RouteCandidate>& candidates);

 private:
  struct Fit {
    size_t candidate = 0;
    double ms = 0;  // of the request on an idle node
  };

  std::vector<Fit> fits_;  // of one back end
  std::vector<wire::StepTimes> times_;
};

}  // namespace lockstep
