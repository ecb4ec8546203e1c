#include "coordinator/route/node_speed.h"

#include <algorithm>

#include "coordinator/route/route_cost.h"

namespace lockstep {
namespace {

wire::StepTimes scaled(const wire::StepTimes& times, double factor) {
  return {.base = times.base * factor,
          .prompt_token = times.prompt_token * factor,
          .prompt_context = times.prompt_context * factor,
          .sequence = times.sequence * factor,
          .context = times.context * factor};
}

const wire::StepTimes& any_times(const std::vector<RouteCandidate>& candidates) {
  const auto found = std::find_if(candidates.begin(), candidates.end(),
                                  [](const auto& c) { return c.step_times.has_value(); });
  return found == candidates.end() ? kUnknownStepTimes : *found->step_times;
}

}  // namespace

const std::vector<wire::StepTimes>& NodeSpeed::times(
    const RouteRequest& request, double n_outputs, const std::vector<RouteCandidate>& candidates) {
  times_.assign(candidates.size(), any_times(candidates));
  RouteCandidate idle;
  idle.n_blocks_free = INT64_MAX;
  const auto is_first = [&](size_t i) {
    return std::none_of(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(i),
                        [&](const auto& c) { return c.backend == candidates[i].backend; });
  };
  for (size_t first = 0; first < candidates.size(); ++first) {
    if (!is_first(first)) continue;
    fits_.clear();
    for (size_t i = first; i < candidates.size(); ++i) {
      const RouteCandidate& candidate = candidates[i];
      if (candidate.backend != candidates[first].backend || !candidate.step_times) continue;
      fits_.push_back({i, route_cost(request, idle, *candidate.step_times, n_outputs).total()});
    }
    if (fits_.empty()) continue;
    const auto middle = fits_.begin() + static_cast<std::ptrdiff_t>((fits_.size() - 1) / 2);
    std::nth_element(fits_.begin(), middle, fits_.end(),
                     [](const Fit& a, const Fit& b) { return a.ms < b.ms; });
    const Fit typical = *middle;
    const wire::StepTimes& its_times = *candidates[typical.candidate].step_times;
    for (size_t i = first; i < candidates.size(); ++i) {
      if (candidates[i].backend == candidates[first].backend) times_[i] = its_times;
    }
    for (const Fit& fit : fits_) {
      const double factor = typical.ms > 0 ? fit.ms / typical.ms : 1;
      times_[fit.candidate] = scaled(its_times, std::clamp(factor, 1 / kMostFactor, kMostFactor));
    }
  }
  return times_;
}

}  // namespace lockstep
