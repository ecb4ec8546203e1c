// lockstep serve MODEL: runs a node and its coordinator in one process. They are connected by a
// loopback socket and share one admin port.
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <chrono>
#include <cstdio>
#include <memory>

#include "clients/cli/commands.h"
#include "clients/cli/engine_fields.h"
#include "common/load_error.h"
#include "common/service/config/config.h"
#include "common/service/http/admin_http.h"
#include "common/service/logging.h"
#include "common/service/process.h"
#include "coordinator/app/coordinator_app.h"
#include "node/service/app/node_app.h"

namespace lockstep {
namespace {

struct FrontFields {
  CoordinatorConfig& coordinator;
  NodeConfig& node;
  template <class V>
  void visit_fields(V& v) {
    coordinator.visit_coordinator_fields(v);
    coordinator.visit_admin_fields(v);
    node.visit_event_fields(v);
    node.visit_admin_fields(v);
  }
};

AdminRoutes combined_routes(NodeApp& node, const CoordinatorApp& coordinator,
                            const std::shared_ptr<prometheus::Registry>& registry) {
  Health health = node.health();
  const auto node_ready = health.ready;
  const auto node_live = health.live;
  health.ready = [node_ready, &coordinator] { return node_ready() && coordinator.ready(); };
  health.live = [node_live, &coordinator] { return node_live() && coordinator.alive(); };
  AdminRoutes routes = health_routes(health);
  routes["/metrics"] = [&node, registry] {
    const std::string text = prometheus::TextSerializer().Serialize(registry->Collect());
    return AdminResponse{200, "text/plain; version=0.0.4; charset=utf-8",
                         text + node.metrics_text()};
  };
  node.add_control_routes(routes);
  return routes;
}

int serve(const NodeConfig& node_config, CoordinatorConfig config, TerminationSignals& signals) {
  NodeApp node(node_config);
  config.nodes = {node.endpoint()};
  const auto registry = std::make_shared<prometheus::Registry>();
  const auto coordinator = value_or_throw(CoordinatorApp::start(config, registry));
  const auto address = value_or_throw(parse_host_port(config.admin));
  const auto admin = value_or_throw(
      AdminHttp::start(address, combined_routes(node, *coordinator, registry), config.insecure));
  std::printf("serving %s\nhttp %s\nzmq %s\nadmin %s\n", node.model_name().c_str(),
              coordinator->http_address().c_str(), coordinator->zmq_endpoint().c_str(),
              to_string(admin->address()).c_str());
  std::fflush(stdout);
  signals.wait();
  const auto second_signal = [&] { return signals.wait_for(std::chrono::milliseconds(0)); };
  coordinator->drain(std::chrono::milliseconds(config.drain_timeout_ms), second_signal);
  return 0;
}

}  // namespace

int run_serve(int argc, const char* const* argv) {
  NodeConfig node;
  CoordinatorConfig coordinator;
  EngineFields engine_fields{node};
  FrontFields front_fields{coordinator, node};
  ConfigSource source("lockstep serve", "Runs a coordinator and a node in one process.");
  source.positional("model");
  source.add(engine_fields);
  source.add(front_fields);
  if (const auto exit_code = source.load(argc, argv)) return *exit_code;
  give_back_large_blocks();
  start_logging(static_cast<int>(node.verbosity));
  TerminationSignals signals;  // constructed before any thread starts
  if (node.model.empty()) throw LoadError("name a model file, as the first argument");
  value_or_throw(resolve(coordinator));
  node.listen = "tcp://127.0.0.1:0";  // used by this process's coordinator only
  node.admin.clear();
  node.insecure = coordinator.insecure;  // concerns the KV event sockets, its only other listeners
  if (source.check_only()) {
    check_node_config(node);
    std::puts("ok");
    return 0;
  }
  return serve(node, coordinator, signals);
}

}  // namespace lockstep
