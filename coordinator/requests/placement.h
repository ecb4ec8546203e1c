// Placement: which node a request goes to next, among those that may run it. Decides; sends
// nothing. I/O thread only.
//
// Candidates serve the request's model with its fingerprint, take work, were not tried with it
// before, and have a context and a KV pool that are long enough, as far as known. If those of no
// node are, all nodes are candidates, so that one of them can refuse with the numbers. Ready nodes
// come first; then suspect ones; then stalled ones: late is better than refused.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "coordinator/cluster/node_table.h"
#include "coordinator/requests/inflight_table.h"
#include "coordinator/route/router.h"

namespace lockstep {

// The fewest tokens of prompt and output that a request can have; 0 for other than generate.
int64_t tokens_at_least(const decltype(Inflight::request)& request);

class Placement {
 public:
  // Both must outlive this.
  Placement(const NodeTable& nodes, const InflightTable& requests, Router router);

  // `passed_over`: further nodes that cannot take it now. nullopt when nobody is left.
  std::optional<NodeId> choose(const Inflight& request, const std::vector<NodeId>& passed_over);
  // `node` refused the request as too long for its context or its KV pool: others may be larger.
  void learn_length(Inflight& request, NodeId node) const;

  void on_heartbeat(NodeId node);  // after the node table took it
  void on_node_lost(NodeId node) { n_foreign_[raw(node)] = 0; }

 private:
  bool has_room(const Node& node, const Inflight& request) const;
  bool may_run(const Node& node, const Inflight& request) const;

  const NodeTable& nodes_;
  const InflightTable& requests_;
  Router router_;
  std::vector<int64_t> n_foreign_;  // [n_nodes] choices of others, by the last heartbeat
};

}  // namespace lockstep
