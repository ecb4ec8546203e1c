// ZmqFrontendConfig: the settings of ZmqFrontend as plain values, so that code that reads settings
// does not include the sockets.
#pragma once

#include <string>
#include <vector>

#include "coordinator/cluster/node_table.h"
#include "coordinator/requests/forwarder.h"
#include "coordinator/resume/resume_key.h"
#include "coordinator/route/router.h"

namespace lockstep {

struct ZmqFrontendConfig {
  std::string zmq_endpoint;  // endpoint of the ROUTER for clients; empty = no ZeroMQ clients
  std::vector<std::string> node_endpoints;
  RoutingPolicy policy = RoutingPolicy::kCost;
  NodeTimeouts timeouts;
  ForwarderConfig forwarder;
  ResumeKey resume_key = ResumeKey::random();
};

}  // namespace lockstep
