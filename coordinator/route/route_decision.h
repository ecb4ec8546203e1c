// RouteDecision: why a request went to a node: every candidate with its terms. Plain data.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/route/route_candidate.h"
#include "coordinator/route/routing_policy.h"

namespace lockstep {

enum class RouteReason {
  kOnlyCandidate,  // no other node could take it
  kPrefix,         // cost: the chosen node has more of the prompt cached than any other
  kReplicate,  // cost: another node has more cached, and waiting there costs more, or it is busy
  kCheapest,   // cost: without a prefix in any cache, or with the same in several
  kTie,        // cost: the costs are nearly equal, so the hash of the affinity decided
  kTurn,       // round-robin
  kLoad,       // least-load, p2c
  kSession,    // session
};
inline constexpr size_t kRouteReasons = 8;
std::string_view to_string(RouteReason reason);  // for metrics and receipts: "prefix"

struct RouteDecision {
  struct Candidate {
    std::string endpoint;
    int64_t n_sequences = 0, capacity = 0;
    int64_t n_cached_tokens = 0, n_pending_tokens = 0, n_blocks_free = 0;
    bool has_step_times = false;  // false: the costs are from assumed times
    RouteCost cost;               // zeros unless the policy is cost
  };

  std::string request_id;  // X-Request-Id, or the id of a ZeroMQ client's request
  std::string prompt;      // the prompt's number in an HTTP request; empty: a ZeroMQ request
  uint32_t attempt = 0;
  double time = 0;  // seconds since 1970
  std::string model;
  RoutingPolicy policy = RoutingPolicy::kCost;
  RouteReason reason = RouteReason::kOnlyCandidate;
  size_t chosen = 0;        // index into candidates
  bool has_tokens = false;  // false: n_prompt_tokens is a guess from the length of the text
  int64_t n_prompt_tokens = 0;
  double n_outputs = 0;  // expected, of one choice
  std::vector<Candidate> candidates;
};

// A JSON object in ASCII on one line, without a newline. docs/routing.md describes it. Of more than
// `max_candidates` it has the chosen one and those of the least cost.
std::string route_receipt(const RouteDecision& decision, size_t max_candidates = SIZE_MAX);

}  // namespace lockstep
