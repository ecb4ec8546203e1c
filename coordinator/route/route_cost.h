// route_cost: the predicted time that a request costs at a node. Pure; any thread.
#pragma once

#include "coordinator/route/route_candidate.h"

namespace lockstep {

// Of a node that has not run enough steps to tell its own; only their proportions matter.
inline constexpr wire::StepTimes kUnknownStepTimes = {
    .base = 10, .prompt_token = 0.5, .prompt_context = 0, .sequence = 1, .context = 0};

// `times` are those of the node, or those to be assumed. `n_outputs`: expected output tokens of one
// choice.
//
//   queue     pending tokens · prompt_token, and the wait for a place among max_num_seqs
//   prefill   base + u · prompt_token + u · (m + u/2) · prompt_context, for u uncached and m cached
//   decode    n_outputs · step, where a step has the present sequences and the request's
//   streams   present sequences · (prefill + n_outputs · what the request adds to a step)
//   work      prompt_token · u / 2: that a node is idle now does not make its time worth nothing
//   eviction  blocks beyond the free ones · block_size · prompt_token · reuse
RouteCost route_cost(const RouteRequest& request, const RouteCandidate& candidate,
                     const wire::StepTimes& times, double n_outputs);

}  // namespace lockstep
