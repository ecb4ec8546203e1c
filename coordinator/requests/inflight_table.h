// InflightTable: owns every request that has not had its final message. A request is found by its
// client and the client's request id, by its node, or by the upstream id of its present attempt.
// Knows no sockets and no policy. I/O thread only.
//
// Invariants (check_invariants)
//   1. A request with a node has exactly one entry by upstream id; one without a node has none.
//   2. n_choices(node) is the sum of the choices of the requests at that node.
//   3. size() and n_without_node() count the requests, and those without a node.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/clock.h"
#include "common/ids.h"
#include "coordinator/requests/inflight.h"

namespace lockstep {

class InflightTable {
 public:
  explicit InflightTable(size_t n_nodes) : n_choices_(n_nodes, 0) {}

  // The pair (client, request_id) must not be in the table, and the request must have no node.
  Inflight& add(std::unique_ptr<Inflight> request);
  // Returns the request whose present attempt has this id; nullptr for every earlier attempt.
  Inflight* find(const std::string& upstream_id);
  Inflight* find(const std::string& client_key, const std::string& request_id);
  // Begins the request's attempt number n_attempts at `node`, in place of the present one if there
  // is one.
  void begin_attempt(Inflight& request, NodeId node, uint64_t node_epoch, std::string upstream_id);
  // Ends the present attempt, if there is one: the request waits for a node.
  void end_attempt(Inflight& request);
  void erase(Inflight& request);

  // Copies of the lists, because callers erase requests while they iterate.
  std::vector<Inflight*> all();
  std::vector<Inflight*> of_client(const std::string& client_key);
  std::vector<Inflight*> of_node(NodeId node);
  std::vector<Inflight*> without_node();
  // The requests whose deadline, or whose node_deadline while they have no node, is over.
  std::vector<Inflight*> past_limit(Clock::TimePoint now);

  size_t size() const { return n_requests_; }
  size_t n_without_node() const { return n_requests_ - by_upstream_.size(); }
  int64_t n_choices(NodeId node) const { return n_choices_[raw(node)]; }
  void check_invariants() const;

 private:
  template <class Predicate>
  std::vector<Inflight*> collect(Predicate wanted);

  std::unordered_map<std::string, std::unordered_map<std::string, std::unique_ptr<Inflight>>>
      by_client_;
  std::unordered_map<std::string, Inflight*> by_upstream_;
  std::vector<int64_t> n_choices_;  // [n_nodes]
  size_t n_requests_ = 0;
};

}  // namespace lockstep
