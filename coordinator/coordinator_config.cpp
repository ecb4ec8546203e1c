#include "coordinator/coordinator_config.h"

#include <utility>

#include "common/log.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;

Error bad(const std::string& field, const std::string& problem) {
  return Error{ErrorCode::kInvalidRequest, field + " " + problem, field};
}

Result<HostPort> listen_address(const std::string& field, const std::string& text, bool insecure) {
  Result<HostPort> address = parse_host_port(text);
  if (!address) return bad(field, "must be HOST:PORT, got '" + text + "'");
  if (!insecure && !is_loopback_host(address->host))
    return bad(field, "'" + text +
                          "' can be reached from other machines and there are no keys "
                          "yet: --insecure allows it");
  return address;
}

Status check_numbers(const CoordinatorConfig& config) {
  const std::pair<const char*, int64_t> positive[] = {
      {"http_threads", config.http_threads},
      {"max_connections", config.max_connections},
      {"max_inflight", config.max_inflight},
      {"max_body_bytes", config.max_body_bytes},
      {"header_timeout_ms", config.header_timeout_ms},
      {"body_timeout_ms", config.body_timeout_ms},
      {"idle_timeout_ms", config.idle_timeout_ms},
      {"write_timeout_ms", config.write_timeout_ms},
      {"keep_alive_ms", config.keep_alive_ms},
      {"request_timeout_ms", config.request_timeout_ms},
      {"drain_timeout_ms", config.drain_timeout_ms},
      {"node_suspect_ms", config.node_suspect_ms}};
  for (const auto& [name, value] : positive) {
    if (value < 1) return bad(name, str("must be at least 1, got ", value));
  }
  if (config.node_dead_ms <= config.node_suspect_ms)
    return bad("node_dead_ms", str("must be more than node_suspect_ms, got ", config.node_dead_ms,
                                   " and ", config.node_suspect_ms));
  return Ok{};
}

HttpServerConfig http_config(const CoordinatorConfig& config, HostPort address) {
  HttpServerConfig http;
  http.address = std::move(address);
  http.n_threads = config.http_threads;
  http.max_connections = static_cast<size_t>(config.max_connections);
  http.limits.body_bytes = static_cast<size_t>(config.max_body_bytes);
  http.limits.header_timeout = milliseconds(config.header_timeout_ms);
  http.limits.body_timeout = milliseconds(config.body_timeout_ms);
  http.limits.idle_timeout = milliseconds(config.idle_timeout_ms);
  http.limits.write_timeout = milliseconds(config.write_timeout_ms);
  return http;
}

RelayConfig relay_config(const CoordinatorConfig& config, RoutingPolicy policy) {
  RelayConfig relay;
  relay.zmq_endpoint = config.zmq;
  relay.node_endpoints = config.node;
  relay.policy = policy;
  relay.timeouts.suspect = milliseconds(config.node_suspect_ms);
  relay.timeouts.dead = milliseconds(config.node_dead_ms);
  if (config.seed) relay.forwarder.seed = static_cast<uint64_t>(*config.seed);
  relay.forwarder.max_inflight = static_cast<size_t>(config.max_inflight);
  relay.forwarder.request_timeout = milliseconds(config.request_timeout_ms);
  return relay;
}

}  // namespace

Result<CoordinatorSettings> resolve(const CoordinatorConfig& config) {
  if (Status numbers = check_numbers(config); !numbers) return numbers.error();
  TRY(HostPort http, listen_address("http", config.http, config.insecure));
  TRY(HostPort admin, listen_address("admin", config.admin, config.insecure));
  TRY(const RoutingPolicy policy, routing_policy_from_string(config.policy));
  const bool zmq_is_open = !config.zmq.empty() && !wire::is_local_endpoint(config.zmq);
  if (zmq_is_open && !config.insecure)
    return bad("zmq", "'" + config.zmq +
                          "' can be reached from other machines and there are no "
                          "keys yet: --insecure allows it");
  CoordinatorSettings settings;
  settings.http = http_config(config, std::move(http));
  settings.admin = std::move(admin);
  settings.relay = relay_config(config, policy);
  settings.keep_alive = milliseconds(config.keep_alive_ms);
  return settings;
}

}  // namespace lockstep
