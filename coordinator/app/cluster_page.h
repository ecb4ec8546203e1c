// cluster_page_json: the body of /v1/cluster on the admin port: each node as the coordinator sees
// it, and how well the prefix index follows the node. docs/operations.md describes it. Pure.
#pragma once

#include <span>
#include <string>

#include "coordinator/cluster/cluster_view.h"
#include "coordinator/index/node_kv_status.h"

namespace lockstep {

// `index`: [n_nodes], by NodeId.
std::string cluster_page_json(const ClusterView& view, std::span<const NodeKvStatus> index);

}  // namespace lockstep
