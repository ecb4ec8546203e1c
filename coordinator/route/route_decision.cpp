#include "coordinator/route/route_decision.h"

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

namespace lockstep {
namespace {

using nlohmann::ordered_json;

// A receipt is read by people: microseconds are enough.
double rounded(double ms) { return std::round(ms * 1000) / 1000; }

ordered_json candidate_json(const RouteDecision& decision, size_t i) {
  const RouteDecision::Candidate& candidate = decision.candidates[i];
  ordered_json out = {{"node", candidate.endpoint},
                      {"chosen", i == decision.chosen},
                      {"sequences", candidate.n_sequences},
                      {"capacity", candidate.capacity},
                      {"cached_tokens", candidate.n_cached_tokens},
                      {"pending_tokens", candidate.n_pending_tokens},
                      {"free_blocks", candidate.n_blocks_free}};
  if (decision.policy != RoutingPolicy::kCost) return out;
  const RouteCost& cost = candidate.cost;
  out["step_times"] = candidate.has_step_times ? "fitted" : "assumed";
  out["cost_ms"] = {{"queue", rounded(cost.queue)},       {"prefill", rounded(cost.prefill)},
                    {"decode", rounded(cost.decode)},     {"streams", rounded(cost.streams)},
                    {"eviction", rounded(cost.eviction)}, {"total", rounded(cost.total())}};
  return out;
}

}  // namespace

std::string_view to_string(RouteReason reason) {
  constexpr std::array<std::string_view, kRouteReasons> kNames = {
      "only_candidate", "prefix", "replicate", "cheapest", "tie", "turn", "load", "session"};
  return kNames[static_cast<size_t>(reason)];
}

std::string route_receipt(const RouteDecision& decision) {
  ordered_json out = {{"request_id", decision.request_id}};
  if (!decision.prompt.empty()) out["prompt"] = decision.prompt;
  out["attempt"] = decision.attempt;
  out["time"] = decision.time;
  out["model"] = decision.model;
  out["policy"] = to_string(decision.policy);
  out["reason"] = to_string(decision.reason);
  out["node"] = decision.candidates[decision.chosen].endpoint;
  out["prompt_tokens"] = decision.n_prompt_tokens;
  out["prompt_tokens_known"] = decision.has_tokens;
  out["expected_output_tokens"] = rounded(decision.n_outputs);
  ordered_json& candidates = out["candidates"] = ordered_json::array();
  for (size_t i = 0; i < decision.candidates.size(); ++i)
    candidates.push_back(candidate_json(decision, i));
  return out.dump(-1, ' ', true, ordered_json::error_handler_t::replace);
}

}  // namespace lockstep
