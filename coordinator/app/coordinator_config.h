// CoordinatorConfig: every setting of a coordinator, each named once. `lockstep serve` offers them
// together with a node's settings.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/host_port.h"
#include "common/result.h"
#include "coordinator/app/zmq_frontend_config.h"
#include "coordinator/http/http_config.h"
#include "wire/limits.h"

namespace lockstep {

struct CoordinatorConfig {
  std::string http = "127.0.0.1:8000";
  std::string zmq = "tcp://127.0.0.1:5555";
  std::string admin = "127.0.0.1:0";
  std::vector<std::string> node;
  std::string policy = "round-robin";
  std::optional<int64_t> seed;
  int64_t http_threads = 1;
  int64_t max_connections = 2048;
  int64_t max_inflight = 16384;
  int64_t max_inflight_bytes = int64_t{1} << 30;
  int64_t max_body_bytes = wire::kMaxBodyBytes;
  int64_t header_timeout_ms = 10'000;
  int64_t body_timeout_ms = 60'000;
  int64_t idle_timeout_ms = 75'000;
  int64_t write_timeout_ms = 30'000;
  int64_t keep_alive_ms = 15'000;
  int64_t request_timeout_ms = 3'600'000;
  int64_t drain_timeout_ms = 300'000;
  int64_t node_suspect_ms = 750;
  int64_t node_dead_ms = 2'000;
  int64_t verbosity = 1;
  bool insecure = false;

  // All settings but those that NodeConfig has too: `lockstep serve` takes those from NodeConfig.
  template <class V>
  void visit_front_fields(V& v) {
    v(http, "http", "", "HOST:PORT of the OpenAI API; port 0 = a free one, printed");
    v(zmq, "zmq", "", "ZeroMQ endpoint for clients; empty = none");
    v(policy, "policy", "", "which node gets a request: round-robin or least-load");
    v(seed, "seed", "", "of every request that brings none; absent = random for each");
    v(http_threads, "http_threads", "threads", "of the HTTP server");
    v(max_connections, "max_connections", "connections", "HTTP; more wait to be accepted");
    v(max_inflight, "max_inflight", "requests", "at the nodes; more are answered 429");
    v(max_inflight_bytes, "max_inflight_bytes", "bytes",
      "of HTTP bodies, half read ones too, and of requests at the nodes; more are answered 429");
    v(max_body_bytes, "max_body_bytes", "bytes",
      "of an HTTP request; more is answered 413; at most 16777216, which a message to a node "
      "holds");
    v(header_timeout_ms, "header_timeout_ms", "ms", "for a client to send its headers");
    v(body_timeout_ms, "body_timeout_ms", "ms", "for a client to send its body");
    v(idle_timeout_ms, "idle_timeout_ms", "ms", "a connection may rest between two requests");
    v(write_timeout_ms, "write_timeout_ms", "ms", "for a client to read what was sent");
    v(keep_alive_ms, "keep_alive_ms", "ms", "of silence before a stream gets a comment");
    v(request_timeout_ms, "request_timeout_ms", "ms", "from dispatch to the last token");
    v(drain_timeout_ms, "drain_timeout_ms", "ms", "for running requests after SIGTERM");
    v(node_suspect_ms, "node_suspect_ms", "ms", "of silence until others get the new work");
    v(node_dead_ms, "node_dead_ms", "ms", "of silence until a node's streams end");
  }
  template <class V>
  void visit_fields(V& v) {
    visit_front_fields(v);
    v(node, "node", "", "ZeroMQ endpoint of a node; give it once per node");
    v(admin, "admin", "", "HOST:PORT of health and metrics; port 0 = a free one, printed");
    v(verbosity, "verbosity", "", "0 = warnings, 1 = also what happens, 2 = also details");
    v(insecure, "insecure", "",
      "allow listening on other addresses than loopback, and requests under any Host");
  }
};

// The checked settings: addresses parse, listeners are loopback unless `insecure`, numbers are in
// range. The Error's `param` names the field.
struct CoordinatorSettings {
  HttpServerConfig http;
  HostPort admin;
  ZmqFrontendConfig frontend;
  std::chrono::milliseconds keep_alive{};
};
// Checks the settings without requiring a node: `lockstep serve` adds its own node after the check.
Result<CoordinatorSettings> resolve(const CoordinatorConfig& config);
// Requires a node as well. Refuses everything that CoordinatorApp::start() refuses without using
// the network.
Result<CoordinatorSettings> resolve_with_node(const CoordinatorConfig& config);

}  // namespace lockstep
