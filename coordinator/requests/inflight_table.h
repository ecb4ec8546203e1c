// InflightTable: every request that a node works on, found by the id we gave it towards the node,
// by its client and id, or by node. Holds what an exact resume will need: the request, its seed and
// the ids already sent. Knows no sockets and no policy. I/O thread only.
//
// Invariants (check_invariants)
//   1. Each request is reachable by its upstream id and by (client, request id), once.
//   2. n_choices(node) is the sum of the choices of the requests that the node holds.
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
  std::string request_id;  // the client's
  std::variant<wire::Generate, wire::Tokenize, wire::Detokenize> request;
  std::string fingerprint;  // of the nodes that may run it; it never changes
  NodeId node{};
  uint64_t node_epoch = 0;
  std::vector<NodeId> tried;  // the nodes that it was sent to, the present one last
  int n_nodes_lost = 0;       // of those, how many were lost with it
  // Prompt and output, as far as known before the prompt is tokenised; 0 = length does not matter.
  int64_t n_tokens_at_least = 0;
  bool refused_as_too_long = false;  // by a node, which raised n_tokens_at_least
  std::optional<Error> refusal;      // what the client is told if no other node takes it
  uint32_t attempt = 0;
  bool accepted = false;  // by some node, and the client knows it
  bool begun = false;     // the client has had output: only this node can go on
  bool cancelled = false;
  std::vector<ChoiceProgress> choices;  // [n]; empty for tokenize and detokenize
  Clock::TimePoint started;
  Clock::TimePoint deadline;
  ByteHold bytes;  // of the budget for what is in flight; empty if there is none

  bool is_generate() const { return std::holds_alternative<wire::Generate>(request); }
};

class InflightTable {
 public:
  explicit InflightTable(size_t n_nodes) : n_choices_(n_nodes, 0) {}

  // The pair (client, request_id) must be free.
  Inflight& add(std::unique_ptr<Inflight> request);
  Inflight* find(const std::string& upstream_id);
  Inflight* find(const std::string& client_key, const std::string& request_id);
  // The request is at another node from now on.
  void move(Inflight& request, NodeId node);
  void erase(Inflight& request);

  // Stable lists: the callers erase while they walk.
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
