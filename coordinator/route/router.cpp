#include "coordinator/route/router.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

#include "common/clock.h"
#include "coordinator/route/load_share.h"
#include "coordinator/route/rendezvous.h"
#include "coordinator/route/route_cost.h"

namespace lockstep {
namespace {

constexpr double kOutputsWeight = 1.0 / 32;  // of the latest choice in the mean
constexpr double kSentWeight = 1.0 / 32;     // of the latest request among those sent lately
constexpr double kEnoughPrompts = 2;         // that a node has room for
constexpr std::chrono::minutes kMemory{1};   // of prompts, to twice that

// Compares the loads relative to capacity, without dividing.
bool is_less_loaded(const RouteCandidate& a, const RouteCandidate& b) {
  return a.n_sequences * std::max<int64_t>(b.capacity, 1) <
         b.n_sequences * std::max<int64_t>(a.capacity, 1);
}

// The first candidate, in the order of nodes, behind `last`.
size_t first_after(const std::vector<RouteCandidate>& candidates, std::optional<NodeId> last) {
  if (!last) return 0;
  const auto next = std::find_if(candidates.begin(), candidates.end(), [&](const auto& candidate) {
    return raw(candidate.node) > raw(*last);
  });
  return next == candidates.end() ? 0 : static_cast<size_t>(next - candidates.begin());
}

size_t with_highest_weight(uint64_t key, const std::vector<RouteCandidate>& candidates,
                           const auto& is_eligible) {
  size_t best = candidates.size();
  uint64_t best_weight = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (!is_eligible(i)) continue;
    const uint64_t weight = rendezvous_weight(key, candidates[i].endpoint);
    if (best < candidates.size() && weight <= best_weight) continue;
    best = i;
    best_weight = weight;
  }
  return best;
}

}  // namespace

uint64_t route_affinity(std::string_view name) { return name_hash(name); }

Router::Router(const RouterConfig& config, const RouterParts& parts)
    : config_(config),
      parts_(parts),
      random_(static_cast<std::minstd_rand::result_type>(config.seed)),
      pending_(parts.n_nodes),
      remembered_(kMemory),
      n_sent_(parts.n_nodes),
      n_blocks_(parts.n_nodes),
      n_remembered_(parts.n_nodes) {}

RoutingPolicy Router::policy_of(const RouteRequest& request) const {
  const bool has_prompt = request.key.kind == RouteKind::kGenerate;
  const bool needs_prompt =
      config_.policy == RoutingPolicy::kCost || config_.policy == RoutingPolicy::kSession;
  return needs_prompt && !has_prompt ? RoutingPolicy::kRoundRobin : config_.policy;
}

std::optional<NodeId> Router::pick(const RouteRequest& request, Candidates& candidates) {
  if (candidates.empty()) return std::nullopt;
  chosen_ = pick_index(request, candidates);
  if (candidates.size() == 1) reason_ = RouteReason::kOnlyCandidate;
  return candidates[chosen_].node;
}

size_t Router::pick_index(const RouteRequest& request, Candidates& candidates) {
  switch (policy_of(request)) {
    case RoutingPolicy::kCost:
      return pick_by_cost(request, candidates);
    case RoutingPolicy::kLeastLoad:
      return pick_in_turn(request, candidates, true);
    case RoutingPolicy::kPowerOfTwo:
      return pick_of_two(candidates);
    case RoutingPolicy::kSession:
      reason_ = RouteReason::kSession;
      return with_highest_weight(request.affinity, candidates, [](size_t) { return true; });
    case RoutingPolicy::kRoundRobin:
      break;
  }
  return pick_in_turn(request, candidates, false);
}

// The first of equal candidates behind the last one, so that an idle cluster is used in turn.
size_t Router::pick_in_turn(const RouteRequest& request, const Candidates& candidates,
                            bool by_load) {
  reason_ = by_load ? RouteReason::kLoad : RouteReason::kTurn;
  const auto last = last_.find(request.key);
  const size_t first =
      first_after(candidates, last == last_.end() ? std::nullopt : std::optional(last->second));
  size_t best = first;
  for (size_t i = 1; by_load && i < candidates.size(); ++i) {
    const size_t next = (first + i) % candidates.size();
    if (is_less_loaded(candidates[next], candidates[best])) best = next;
  }
  last_.insert_or_assign(request.key, candidates[best].node);
  return best;
}

size_t Router::pick_of_two(const Candidates& candidates) {
  reason_ = RouteReason::kLoad;
  const size_t n = candidates.size();
  const size_t one = random_() % n;
  const size_t other = n == 1 ? one : (one + 1 + random_() % (n - 1)) % n;
  return is_less_loaded(candidates[other], candidates[one]) ? other : one;
}

void Router::look_up_prefixes(const RouteRequest& request, Candidates& candidates) {
  std::fill(n_blocks_.begin(), n_blocks_.end(), 0);
  if (!request.block_hashes.empty()) {
    if (parts_.cached != nullptr) parts_.cached->match(request.block_hashes, n_blocks_);
    recent_.match(request.block_hashes, n_blocks_, parts_.clock.now());
    look_up_remembered(request, candidates);
  }
  // A node computes at least the last token of a prompt.
  const int64_t most = std::max<int64_t>(request.n_prompt_tokens - 1, 0);
  for (RouteCandidate& candidate : candidates) {
    const int64_t n_tokens = int64_t{n_blocks_[raw(candidate.node)]} * request.block_size;
    candidate.n_cached_tokens = std::min(n_tokens, most);
  }
}

void Router::look_up_remembered(const RouteRequest& request, const Candidates& candidates) {
  if (remembered_.n_entries() == 0) return;
  std::fill(n_remembered_.begin(), n_remembered_.end(), 0);
  remembered_.match(request.block_hashes, n_remembered_, parts_.clock.now());
  for (const RouteCandidate& candidate : candidates) {
    const size_t node = raw(candidate.node);
    if (!knows_cache_of(candidate.node))
      n_blocks_[node] = std::max(n_blocks_[node], n_remembered_[node]);
  }
}

bool Router::knows_cache_of(NodeId node) const {
  return parts_.cached != nullptr && parts_.cached->knows(node);
}

void Router::predict(const RouteRequest& request, Candidates& candidates) {
  const double n_outputs = expected_outputs(request);
  const auto& times = speed_.times(request, n_outputs, candidates);
  const Clock::TimePoint now = parts_.clock.now();
  costs_.clear();
  for (size_t i = 0; i < candidates.size(); ++i) {
    RouteCandidate& candidate = candidates[i];
    candidate.n_pending_tokens = pending_.estimate(candidate.node, times[i].prompt_token, now);
    costs_.push_back(route_cost(request, candidate, times[i], n_outputs));
  }
}

// Of nodes with the prompt cached alike, those that got the fewest requests lately. Of nodes
// without it, those with room for a few such prompts: they will keep it.
double Router::preference(const RouteRequest& request, const RouteCandidate& candidate) const {
  if (candidate.n_cached_tokens > 0) return -std::floor(n_sent_[raw(candidate.node)]);
  const double n_blocks =
      static_cast<double>(request.n_prompt_tokens) / std::max(request.block_size, 1) + 1;
  const auto n_free = static_cast<double>(std::max<int64_t>(candidate.n_blocks_free, 0));
  return std::min(std::floor(n_free / (2 * n_blocks)), kEnoughPrompts);
}

size_t Router::pick_by_cost(const RouteRequest& request, Candidates& candidates) {
  look_up_prefixes(request, candidates);
  predict(request, candidates);
  const LoadShare share(request, candidates);
  size_t best = candidates.size();
  double least_decode = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    least_decode = i == 0 ? costs_[i].decode : std::min(least_decode, costs_[i].decode);
    if (share.is_exceeded_by(candidates[i])) continue;
    if (best == candidates.size() || costs_[i].total() < costs_[best].total()) best = i;
  }
  // What the request needs at any node says nothing about how near two nodes are.
  const double lowest = costs_[best].total();
  const double limit = lowest + std::max(kTieMs, kTieShare * (lowest - least_decode));
  const auto is_near = [&](size_t i) {
    return costs_[i].total() <= limit && !share.is_exceeded_by(candidates[i]);
  };
  int64_t most_cached = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (is_near(i)) most_cached = std::max(most_cached, candidates[i].n_cached_tokens);
  }
  double most_preferred = -std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (is_near(i) && candidates[i].n_cached_tokens == most_cached)
      most_preferred = std::max(most_preferred, preference(request, candidates[i]));
  }
  size_t n_equal = 0;
  const auto is_equal = [&](size_t i) {
    return is_near(i) && candidates[i].n_cached_tokens == most_cached &&
           preference(request, candidates[i]) == most_preferred;
  };
  for (size_t i = 0; i < candidates.size(); ++i) n_equal += is_equal(i) ? 1 : 0;
  const size_t chosen = with_highest_weight(request.affinity, candidates, is_equal);
  reason_ = reason_of(chosen, n_equal, candidates);
  return chosen;
}

RouteReason Router::reason_of(size_t chosen, size_t n_equal, const Candidates& candidates) const {
  const int64_t n_cached = candidates[chosen].n_cached_tokens;
  int64_t most_elsewhere = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    if (i != chosen) most_elsewhere = std::max(most_elsewhere, candidates[i].n_cached_tokens);
  }
  if (n_cached > most_elsewhere) return RouteReason::kPrefix;
  if (n_cached < most_elsewhere) return RouteReason::kReplicate;
  return n_equal > 1 ? RouteReason::kTie : RouteReason::kCheapest;
}

const RouteDecision& Router::sent(const RouteRequest& request, const Candidates& candidates,
                                  RouteName name) {
  const RouteCandidate& chosen = candidates[chosen_];
  const Clock::TimePoint now = parts_.clock.now();
  pending_.on_sent(chosen.node, request.n_prompt_tokens - chosen.n_cached_tokens, now);
  recent_.add(request.block_hashes, chosen.node, now);
  if (!knows_cache_of(chosen.node)) remembered_.add(request.block_hashes, chosen.node, now);
  for (double& n_sent : n_sent_) n_sent *= 1 - kSentWeight;
  n_sent_[raw(chosen.node)] += 1;
  decision_.request_id = std::move(name.request_id);
  decision_.prompt = std::move(name.prompt);
  decision_.attempt = name.attempt;
  decision_.time = unix_seconds();
  describe(request, candidates);
  if (parts_.log != nullptr) parts_.log->add(decision_);
  return decision_;
}

void Router::describe(const RouteRequest& request, const Candidates& candidates) {
  decision_.model = request.key.model;
  decision_.policy = policy_of(request);
  decision_.reason = reason_;
  decision_.chosen = chosen_;
  decision_.has_tokens = request.has_tokens;
  decision_.n_prompt_tokens = request.n_prompt_tokens;
  decision_.n_outputs = expected_outputs(request);
  decision_.candidates.resize(candidates.size());
  for (size_t i = 0; i < candidates.size(); ++i) {
    const RouteCandidate& from = candidates[i];
    RouteDecision::Candidate& to = decision_.candidates[i];
    to.endpoint = from.endpoint;
    to.n_sequences = from.n_sequences;
    to.capacity = from.capacity;
    to.n_cached_tokens = from.n_cached_tokens;
    to.n_pending_tokens = from.n_pending_tokens;
    to.n_blocks_free = from.n_blocks_free;
    to.has_step_times = from.step_times.has_value();
    to.cost = decision_.policy == RoutingPolicy::kCost ? costs_[i] : RouteCost{};
  }
}

void Router::on_heartbeat(NodeId node, int64_t n_pending_tokens) {
  pending_.on_heartbeat(node, n_pending_tokens, parts_.clock.now());
}

void Router::on_node_lost(NodeId node) {
  pending_.on_node_lost(node);
  recent_.forget(node);
  remembered_.forget(node);
}

void Router::on_outputs(size_t n_outputs) {
  mean_outputs_ += kOutputsWeight * (static_cast<double>(n_outputs) - mean_outputs_);
}

double Router::expected_outputs(const RouteRequest& request) const {
  if (!request.max_output_tokens) return mean_outputs_;
  return std::min(mean_outputs_, static_cast<double>(*request.max_output_tokens));
}

}  // namespace lockstep
