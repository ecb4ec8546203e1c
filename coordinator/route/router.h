// Router: picks one of the candidate nodes by the routing policy. docs/routing.md describes the
// policies. Only generation requests have a cost: tokenize and detokenize take turns, whatever the
// policy, except under least-load and p2c. I/O thread only: the thread that owns all ZeroMQ
// sockets.
//
//   pick()  chooses
//   sent()  the chosen node got the request: its load grows at once, and the decision is logged
#pragma once

#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "coordinator/route/cached_prefixes.h"
#include "coordinator/route/node_speed.h"
#include "coordinator/route/pending_prompts.h"
#include "coordinator/route/recent_prefixes.h"
#include "coordinator/route/route_log.h"

namespace lockstep {

struct RouterConfig {
  RoutingPolicy policy = RoutingPolicy::kCost;
  uint64_t seed = 0;  // of the random choices of p2c
};

// The affinity of requests that name the same session, or begin with the same text.
uint64_t route_affinity(std::string_view name);

// What a router works with; each must outlive it.
struct RouterParts {
  size_t n_nodes = 0;
  const Clock& clock;
  const CachedPrefixes* cached = nullptr;  // null: nothing is known of the nodes' caches
  RouteLog* log = nullptr;                 // null: decisions are not kept
};

// How a decision is found in the log: the first three members of RouteDecision.
struct RouteName {
  std::string request_id, prompt;
  uint32_t attempt = 0;
};

class Router {
 public:
  // Costs that differ by no more than this, or by this share of the lowest, count as equal.
  static constexpr double kTieMs = 2, kTieShare = 0.05;

  Router(const RouterConfig& config, const RouterParts& parts);

  // `candidates` are in ascending order of node; pick() fills in what their comments say. Returns
  // nullopt when there are none.
  std::optional<NodeId> pick(const RouteRequest& request, std::vector<RouteCandidate>& candidates);
  // The node of the last pick() got the generation request. The first two arguments are those of
  // that call. The decision is valid until the next call.
  const RouteDecision& sent(const RouteRequest& request,
                            const std::vector<RouteCandidate>& candidates, RouteName name);
  RouteReason reason() const { return reason_; }  // of the last pick()

  void on_heartbeat(NodeId node, int64_t n_pending_tokens);
  void on_node_lost(NodeId node);
  // A choice ended after so many outputs.
  void on_outputs(size_t n_outputs);

  // Output tokens of one choice of the request, as far as they can be expected: the mean of the
  // latest choices, or the request's limit.
  double expected_outputs(const RouteRequest& request) const;

 private:
  using Candidates = std::vector<RouteCandidate>;

  size_t pick_index(const RouteRequest& request, Candidates& candidates);
  size_t pick_in_turn(const RouteRequest& request, const Candidates& candidates, bool by_load);
  size_t pick_of_two(const Candidates& candidates);
  size_t pick_by_cost(const RouteRequest& request, Candidates& candidates);
  void predict(const RouteRequest& request, Candidates& candidates);
  void look_up_prefixes(const RouteRequest& request, Candidates& candidates);
  void look_up_remembered(const RouteRequest& request, const Candidates& candidates);
  bool knows_cache_of(NodeId node) const;
  double preference(const RouteRequest& request, const RouteCandidate& candidate) const;
  RouteReason reason_of(size_t chosen, size_t n_equal, const Candidates& candidates) const;
  RoutingPolicy policy_of(const RouteRequest& request) const;
  void describe(const RouteRequest& request, const Candidates& candidates);

  const RouterConfig config_;
  const RouterParts parts_;
  std::map<RouteKey, NodeId> last_;  // node that got the key's last request
  std::minstd_rand random_;
  PendingPrompts pending_;
  RecentPrefixes recent_;      // what nodes soon have
  RecentPrefixes remembered_;  // what nodes have that do not publish what they have
  NodeSpeed speed_;
  std::vector<double> n_sent_;  // [n_nodes] requests sent lately; older ones count less
  double mean_outputs_ = 128;
  // Of the last pick().
  size_t chosen_ = 0;
  RouteReason reason_ = RouteReason::kOnlyCandidate;
  std::vector<RouteCost> costs_;        // by candidate
  std::vector<uint32_t> n_blocks_;      // [n_nodes]
  std::vector<uint32_t> n_remembered_;  // [n_nodes] blocks
  RouteDecision decision_;              // of the last sent()
};

}  // namespace lockstep
