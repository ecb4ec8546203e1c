// AttemptSender: begins a request's next attempt. It chooses the node, builds the message with
// everything that the node needs to continue the request, and sends it. I/O thread only.
#pragma once

#include <string>

#include "common/clock.h"
#include "coordinator/cluster/node_table.h"
#include "coordinator/requests/inflight.h"
#include "coordinator/requests/inflight_table.h"
#include "coordinator/requests/node_links.h"
#include "coordinator/requests/placement.h"

namespace lockstep {

class AttemptSender {
 public:
  // All references must outlive this object.
  AttemptSender(const NodeTable& nodes, InflightTable& table, Placement& placement,
                NodeLinks& links, const Clock& clock);

  // Sends the request to the best node that was not tried in this round. Skips nodes whose link
  // cannot take a message now. Returns false, and changes nothing, if no candidate is left.
  bool send(Inflight& request);

 private:
  std::string encode(Inflight& request, const std::string& upstream_id) const;

  const NodeTable& nodes_;
  InflightTable& table_;
  Placement& placement_;
  NodeLinks& links_;
  const Clock& clock_;
  const std::string id_prefix_;  // random; keeps the upstream ids of two processes distinct
  uint64_t n_sent_ = 0;
};

}  // namespace lockstep
