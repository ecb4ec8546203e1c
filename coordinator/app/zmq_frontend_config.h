// The frontend's settings: values only, for whoever reads settings and opens no socket.
#pragma once

#include <string>
#include <vector>

#include "coordinator/cluster/node_table.h"
#include "coordinator/requests/forwarder.h"
#include "coordinator/route/router.h"

namespace lockstep {

struct ZmqFrontendConfig {
  std::string zmq_endpoint;  // of the clients' ROUTER; empty = none
  std::vector<std::string> node_endpoints;
  RoutingPolicy policy = RoutingPolicy::kRoundRobin;
  NodeTimeouts timeouts;
  ForwarderConfig forwarder;
};

}  // namespace lockstep
