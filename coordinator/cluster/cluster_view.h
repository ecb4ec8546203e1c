// ClusterView: what the coordinator knows of its nodes at one moment. An immutable snapshot that
// the I/O thread publishes and HTTP threads read. The functions are pure.
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

  // Some node could be given a request now.
  bool ready() const;
  // Each model once, with the limits of the nodes that new requests go to.
  std::vector<wire::ModelInfo> models() const;
};

wire::ClusterStatus cluster_status(const ClusterView& view, std::string request_id);

// The settings of every node that is there, as it said in its welcome.
wire::Description cluster_description(const ClusterView& view, std::string request_id);

// The gateway's /metrics: vLLM's names for the four figures that Gateway API Inference Extension
// and stock dashboards read. Everything else is on the admin port.
std::string gateway_metrics(const ClusterView& view);

}  // namespace lockstep
