#include "coordinator/route/route_decision.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <tuple>

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
                    {"eviction", rounded(cost.eviction)}, {"work", rounded(cost.work)},
                    {"total", rounded(cost.total())}};
  return out;
}

// The indices of the candidates that a receipt has, in ascending order.
std::vector<size_t> shown_candidates(const RouteDecision& decision, size_t max_candidates) {
  std::vector<size_t> shown(decision.candidates.size());
  std::iota(shown.begin(), shown.end(), size_t{0});
  if (shown.size() <= max_candidates) return shown;
  const auto rank = [&](size_t i) {
    const RouteDecision::Candidate& candidate = decision.candidates[i];
    return std::tuple(i != decision.chosen, candidate.cost.total(), i);
  };
  std::sort(shown.begin(), shown.end(), [&](size_t a, size_t b) { return rank(a) < rank(b); });
  shown.resize(max_candidates);
  std::sort(shown.begin(), shown.end());
  return shown;
}

}  // namespace

std::string_view to_string(RouteReason reason) {
  constexpr std::array<std::string_view, kRouteReasons> kNames = {
      "only_candidate", "prefix", "replicate", "cheapest", "tie", "turn", "load", "session"};
  return kNames[static_cast<size_t>(reason)];
}

std::string route_receipt(const RouteDecision& decision, size_t max_candidates) {
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
  out["n_candidates"] = decision.candidates.size();
  ordered_json& candidates = out["candidates"] = ordered_json::array();
  for (size_t i : shown_candidates(decision, max_candidates))
    candidates.push_back(candidate_json(decision, i));
  return out.dump(-1, ' ', true, ordered_json::error_handler_t::replace);
}

}  // namespace lockstep
