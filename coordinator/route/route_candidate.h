// RouteRequest, RouteCandidate, RouteCost: what the choice of a node is made from, and what came of
// it. Plain data.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/ids.h"
#include "wire/messages.h"

namespace lockstep {

enum class RouteKind { kGenerate, kTokenize, kDetokenize };

// Requests with equal keys share one round-robin position.
struct RouteKey {
  std::string model;  // a model that some node serves
  RouteKind kind = RouteKind::kGenerate;

  auto operator<=>(const RouteKey&) const = default;
};

struct RouteRequest {
  RouteKey key;
  // Emitted outputs of a resumed request included. Unless has_tokens, a guess from the text.
  int64_t n_prompt_tokens = 0;
  bool has_tokens = false;
  int64_t n_choices = 1;
  std::optional<int64_t> max_output_tokens;  // of one choice
  // The hashes of the prompt's full blocks (common/prefix_hash.h), valid during the call; empty if
  // the prompt's tokens are not known.
  std::span<const uint64_t> block_hashes;
  int32_t block_size = 16;
  // Equal for requests that should go to the same node: the hash of the session's name, or of how
  // the prompt begins.
  uint64_t affinity = 0;
};

struct RouteCandidate {
  NodeId node{};
  std::string_view endpoint;  // valid during the call
  // Choices that this node runs or queues, as far as known. Those of other coordinators come from
  // the node's last heartbeat. Those of this coordinator are counted at dispatch, so that a burst
  // between two heartbeats is spread.
  int64_t n_sequences = 0;
  int64_t capacity = 1;      // max_num_seqs
  std::string_view backend;  // valid during the call; nodes with the same one compute alike
  // Of the last heartbeat.
  std::optional<wire::StepTimes> step_times;
  int64_t n_context_tokens = 0;  // of the sequences that decode
  int64_t n_blocks_free = 0;     // that hold no cached prefix
  double reuse = 0;              // share of all its prompt tokens that were found in its cache
  // Filled in by the Router.
  int64_t n_pending_tokens = 0;  // prompt tokens that the node has still to compute
  int64_t n_cached_tokens = 0;   // prompt tokens of this request that the node has, or soon has
};

// Predicted milliseconds that a request costs if it goes to a node.
struct RouteCost {
  double queue = 0;     // until the node begins with the prompt
  double prefill = 0;   // for the part of the prompt that is not cached
  double decode = 0;    // for the request's own output
  double streams = 0;   // lost by the sequences that the node runs already, all together
  double eviction = 0;  // to compute again, later, what the node has to evict
  double work = 0;      // what the node could compute for others instead of the prompt
  double total() const { return queue + prefill + decode + streams + eviction + work; }
};

}  // namespace lockstep
