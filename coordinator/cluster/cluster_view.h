// ClusterView: an immutable snapshot of what the coordinator knows about its nodes. The I/O thread
// publishes snapshots; HTTP threads read them. The functions are pure.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/cluster/model_groups.h"
#include "coordinator/cluster/node.h"
#include "wire/messages.h"

namespace lockstep {

struct ClusterView {
  NodeList nodes;
  std::shared_ptr<const ModelGroups> groups = std::make_shared<const ModelGroups>();  // never null
  int64_t n_inflight = 0;
  bool draining = false;

  // True if some node takes new requests now.
  bool ready() const;
  // Lists each model once, with the limits of the nodes that new requests are sent to.
  std::vector<wire::ModelInfo> models() const;
};

wire::ClusterStatus cluster_status(const ClusterView& view, std::string request_id);

// The settings of every node that is present, from its welcome message.
wire::Description cluster_description(const ClusterView& view, std::string request_id);

// The body of /metrics on the public HTTP port. It uses vLLM's names for the four metrics that the
// Gateway API Inference Extension and stock dashboards read. All other metrics are on the admin
// port.
std::string gateway_metrics(const ClusterView& view);

}  // namespace lockstep
