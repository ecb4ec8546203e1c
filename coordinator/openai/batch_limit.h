// check_batch: checks whether the prompts of one HTTP request can ever be at the nodes together.
// Pure.
#pragma once

#include <cstddef>
#include <string>

#include "common/result.h"
#include "coordinator/cluster/cluster_view.h"

namespace lockstep {

// Returns an error with the numbers if the nodes that serve `model` can hold fewer than `n_prompts`
// requests, running and waiting together, even when idle: a retry would not help. Returns Ok if a
// node does not report how many requests it can hold.
Status check_batch(size_t n_prompts, const std::string& model, const ClusterView& view);

}  // namespace lockstep
