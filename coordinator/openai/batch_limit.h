// Whether the prompts of one HTTP request can ever be at the nodes together. Pure.
#pragma once

#include <cstddef>
#include <string>

#include "common/result.h"
#include "coordinator/cluster/cluster_view.h"

namespace lockstep {

// An error with the numbers if the nodes that serve `model` hold fewer requests, running and
// waiting, even when they are idle: then trying again would not help. Ok if a node does not say
// how many it holds.
Status check_batch(size_t n_prompts, const std::string& model, const ClusterView& view);

}  // namespace lockstep
