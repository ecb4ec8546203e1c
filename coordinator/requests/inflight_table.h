// InflightTable: owns every request that was sent to a node. A request is found by its upstream id,
// by its client and the client's request id, or by its node. Each entry holds what an exact resume
// will need: the request, its seed and the token ids already sent. Knows no sockets and no policy.
// I/O thread only.
//
// Invariants (check_invariants)
//   1. Each request has exactly one entry by upstream id and one by (client, request id).
//   2. n_choices(node) is the sum of the choices of the requests at that node.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "common/clock.h"
#include "common/ids.h"
#include "common/memory/byte_budget.h"
#include "common/result.h"
#include "coordinator/requests/client.h"
#include "coordinator/requests/client_request.h"
#include "wire/messages.h"

namespace lockstep {

struct ChoiceProgress {
  std::vector<int32_t> ids;  // sent to the client so far
  bool finished = false;
  std::optional<Clock::TimePoint> last_token;
};

struct Inflight {
  std::string upstream_id;  // the request_id on the link to the node, unique in this process
  Client client;
  std::string request_id;  // chosen by the client, unique among the client's live requests
  ClientRequest request;
  std::string fingerprint;  // only nodes with this fingerprint may run the request; constant
  NodeId node{};
  uint64_t node_epoch = 0;
  std::vector<NodeId> tried;  // nodes that the request was sent to, the present node last
  int n_nodes_lost = 0;       // number of `tried` nodes that were lost while they had the request
  // Lower bound of prompt and output tokens, as far as known before the prompt is tokenised; 0 =
  // the length does not matter.
  int64_t n_tokens_at_least = 0;
  bool refused_as_too_long = false;  // a node refused the length and raised n_tokens_at_least
  std::optional<Error> refusal;      // sent to the client if no other node takes the request
  uint32_t attempt = 0;
  bool accepted = false;  // some node accepted the request, and Accepted was sent to the client
  bool begun = false;     // the client has had output, so only this node can continue
  bool cancelled = false;
  std::vector<ChoiceProgress> choices;  // [n]; empty for tokenize and detokenize
  Clock::TimePoint started;
  Clock::TimePoint deadline;  // of request_timeout or cancel_timeout, not deadline_ms
  ByteHold bytes;  // share of the budget for bytes in flight; empty if there is no budget

  bool is_generate() const { return std::holds_alternative<wire::Generate>(request); }
};

enum class TokenOrder {
  kNext,  // the message continues the choice exactly
  // All its tokens were sent before, the choice has finished, or the message is from another epoch
  // or attempt.
  kStale,
  // Tokens before the message are missing, only some of its tokens were sent before, or the choice
  // does not exist.
  kBroken
};
// Compares the position of a Tokens message with the tokens that were already sent to the client.
TokenOrder token_order(const Inflight& request, const wire::Tokens& tokens);

class InflightTable {
 public:
  explicit InflightTable(size_t n_nodes) : n_choices_(n_nodes, 0) {}

  // The pair (client, request_id) must not be in the table.
  Inflight& add(std::unique_ptr<Inflight> request);
  Inflight* find(const std::string& upstream_id);
  Inflight* find(const std::string& client_key, const std::string& request_id);
  // Records that the request is at `node` from now on.
  void move(Inflight& request, NodeId node);
  void erase(Inflight& request);

  // Copies of the lists, because callers erase requests while they iterate.
  std::vector<Inflight*> all();
  std::vector<Inflight*> of_client(const std::string& client_key);
  std::vector<Inflight*> of_node(NodeId node);
  std::vector<Inflight*> past_deadline(Clock::TimePoint now);

  size_t size() const { return by_upstream_.size(); }
  int64_t n_choices(NodeId node) const { return n_choices_[raw(node)]; }
  void check_invariants() const;

 private:
  std::unordered_map<std::string, std::unique_ptr<Inflight>> by_upstream_;
  std::unordered_map<std::string, std::unordered_map<std::string, Inflight*>> by_client_;
  std::vector<int64_t> n_choices_;  // [n_nodes]
};

}  // namespace lockstep
