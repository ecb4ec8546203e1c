// Placement: chooses the node that a request is sent to next. Sends nothing. I/O thread only.
//
// A candidate serves the request's model with the request's fingerprint, takes work and was not
// tried for this request in this round; a node that restarted counts as another node. Its context
// and its KV pool are long enough, as far as known. If no node's are long enough, length is
// ignored, so that one node can refuse the request with its numbers. Ready nodes are preferred,
// then suspect nodes, then stalled nodes: a late answer is better than a refusal. Among the
// preferred ones the Router chooses.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "coordinator/cluster/node_table.h"
#include "coordinator/probes.h"
#include "coordinator/requests/client_request.h"
#include "coordinator/requests/inflight_table.h"
#include "coordinator/route/router.h"

namespace lockstep {

// Lower bound of prompt and output tokens of a request; 0 for requests other than generate.
int64_t tokens_at_least(const ClientRequest& request);

class Placement {
 public:
  // The references must outlive this object.
  Placement(const NodeTable& nodes, const InflightTable& requests, Router router,
            CoordinatorProbes& probes);

  // `passed_over`: nodes that cannot take the request now, besides those already tried. Returns
  // nullopt when no candidate is left.
  std::optional<NodeId> choose(const Inflight& request, const std::vector<NodeId>& passed_over);
  // The node of the last choose() got the request. To be called before the attempt begins.
  void sent(Inflight& request);
  // `node` refused the request as too long for its context or its KV pool. Raises the request's
  // n_tokens_at_least, so that only larger nodes remain candidates.
  void record_too_long(Inflight& request, NodeId node) const;

  void on_heartbeat(NodeId node);  // to be called after NodeTable::on_heartbeat
  void on_node_lost(NodeId node);
  // The choices of a request that ended normally.
  void on_outputs(const Inflight& request);

 private:
  bool has_room(const Node& node, const Inflight& request) const;
  bool may_run(const Node& node, const Inflight& request) const;
  RouteCandidate candidate(const Node& node) const;

  const NodeTable& nodes_;
  const InflightTable& requests_;
  CoordinatorProbes& probes_;
  Router router_;
  // Of the last choose().
  RouteRequest asked_;
  std::vector<RouteCandidate> candidates_;
  // [n_nodes] choices of other coordinators and of direct clients, by the last heartbeat
  std::vector<int64_t> n_foreign_;
};

}  // namespace lockstep
