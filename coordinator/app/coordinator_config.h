// CoordinatorConfig: every setting of a coordinator, each named once. `lockstep serve` shows them
// beside those of a node. Plain data, read by main() before other threads start.
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
  std::vector<std::string> nodes;
  std::string policy = "cost";
  std::string resume_key_file;
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
  int64_t queue_timeout_ms = 5'000;
  int64_t resume_timeout_ms = 30'000;
  int64_t drain_timeout_ms = 300'000;
  int64_t node_suspect_ms = 750;
  int64_t node_dead_ms = 2'000;
  int64_t verbosity = 1;
  bool insecure = false;

  // The settings that only a coordinator has; `lockstep serve` reads the others into its node.
  template <class V>
  void visit_coordinator_fields(V& v) {
    v.group("Network");
    v(http, "http", "HOST:PORT",
      "Address of the OpenAI API. Port 0 picks a free port, which is printed.");
    v(zmq, "zmq", "ENDPOINT", "ZeroMQ endpoint for clients. An empty endpoint opens none.");
    v.group("Routing");
    v(policy, "policy", "cost|least-load|p2c|round-robin|session",
      "Policy that picks the node that gets a request: cost, where it costs the least predicted "
      "time; least-load, where the fewest sequences run for the capacity; p2c, the less loaded of "
      "two random nodes; round-robin, in turn; session, the same node for each session.");
    v(node_suspect_ms, "node_suspect_ms", "ms",
      "Silence of a node in ms after which new requests go to other nodes.");
    v(node_dead_ms, "node_dead_ms", "ms",
      "Silence of a node in ms after which its streams continue at other nodes.");
    v(resume_key_file, "resume_key_file", "PATH",
      "File with a secret of 32 to 4096 bytes that all coordinators of the cluster read. A client "
      "then goes on with its stream at another coordinator. Without it, a stream goes on at the "
      "coordinator that began it only, for as long as that process lives.");
    v.group("Sampling and text");
    v(seed, "seed", "",
      "Seed of every request that brings none. Without it, each such request gets a random seed.");
    v.group("Limits");
    v(http_threads, "http_threads", "threads", "Number of threads of the HTTP server.");
    v(max_connections, "max_connections", "connections",
      "Maximum number of open HTTP connections; more wait until they are accepted.");
    v(max_inflight, "max_inflight", "requests",
      "Maximum number of requests at the nodes; more are answered with status 429.");
    v(max_inflight_bytes, "max_inflight_bytes", "bytes",
      "Maximum number of bytes of HTTP bodies, half-read ones included, and of requests at the "
      "nodes; more are answered with status 429.");
    v(max_body_bytes, "max_body_bytes", "bytes",
      "Maximum size of the body of an HTTP request in bytes; a larger one is answered with status "
      "413. The setting is at most 16777216, which a message to a node holds.");
    v.group("Timeouts");
    v(header_timeout_ms, "header_timeout_ms", "ms",
      "Time in ms that a client has to send its headers.");
    v(body_timeout_ms, "body_timeout_ms", "ms", "Time in ms that a client has to send its body.");
    v(idle_timeout_ms, "idle_timeout_ms", "ms",
      "Time in ms that a connection may be idle between two requests.");
    v(write_timeout_ms, "write_timeout_ms", "ms",
      "Time in ms that a client has to read what was sent.");
    v(keep_alive_ms, "keep_alive_ms", "ms",
      "Silence of a stream in ms after which a comment is sent to keep it alive.");
    v(request_timeout_ms, "request_timeout_ms", "ms",
      "Time in ms that a request may take from its dispatch to its last token.");
    v(queue_timeout_ms, "queue_timeout_ms", "ms",
      "Time in ms that a new request waits for a node when none takes it. 0 refuses it at once.");
    v(resume_timeout_ms, "resume_timeout_ms", "ms",
      "Time in ms that a stream whose node is lost waits for another node.");
    v(drain_timeout_ms, "drain_timeout_ms", "ms",
      "Time in ms that running requests have to finish after SIGTERM.");
  }
  template <class V>
  void visit_admin_fields(V& v) {
    v.group("Network");
    v(admin, "admin", "HOST:PORT",
      "Address of health checks and metrics. Port 0 picks a free port, which is printed.");
    v(insecure, "insecure", "",
      "Allow listening on addresses other than loopback, and requests under any Host header.");
  }
  template <class V>
  void visit_fields(V& v) {
    visit_coordinator_fields(v);
    v.group("Routing");
    v(nodes, "node", "ENDPOINT",
      "ZeroMQ endpoints of the nodes, at least one; the flag is given once per node.");
    visit_admin_fields(v);
    v.group("Observability");
    v(verbosity, "verbosity", "",
      "Detail of the log: 0 logs warnings, 1 also events, and 2 also details.");
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
