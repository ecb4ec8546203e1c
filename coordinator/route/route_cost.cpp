#include "coordinator/route/route_cost.h"

#include <algorithm>
#include <cmath>

namespace lockstep {

RouteCost route_cost(const RouteRequest& request, const RouteCandidate& candidate,
                     const wire::StepTimes& times, double n_outputs) {
  const auto n_choices = static_cast<double>(request.n_choices);
  const auto capacity = static_cast<double>(std::max<int64_t>(candidate.capacity, 1));
  const auto present = static_cast<double>(candidate.n_sequences);
  const auto cached = static_cast<double>(candidate.n_cached_tokens);
  const double uncached = static_cast<double>(request.n_prompt_tokens) - cached;
  const double n_running = std::min(present, capacity);

  // What the request adds to a step of the sequences that run.
  const double added = n_choices * (times.sequence + times.context * (uncached + cached));
  const double step = times.base + times.sequence * n_running +
                      times.context * static_cast<double>(candidate.n_context_tokens) + added;
  const double n_without_place = std::max(0.0, present + n_choices - capacity);

  RouteCost cost;
  cost.queue = times.prompt_token * static_cast<double>(candidate.n_pending_tokens) +
               n_without_place / capacity * n_outputs * step;
  cost.prefill = times.base + uncached * times.prompt_token +
                 uncached * (cached + uncached / 2) * times.prompt_context;
  cost.decode = n_outputs * step;
  cost.streams = n_running * (cost.prefill + n_outputs * added);
  const double block_size = std::max(request.block_size, 1);
  const double n_blocks = std::ceil((uncached + n_choices * n_outputs) / block_size);
  const double n_evicted =
      std::max(0.0, n_blocks - static_cast<double>(std::max<int64_t>(candidate.n_blocks_free, 0)));
  cost.eviction = n_evicted * block_size * times.prompt_token * candidate.reuse;
  cost.work = uncached * times.prompt_token / 2;
  return cost;
}

}  // namespace lockstep
