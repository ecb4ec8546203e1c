#include "coordinator/coordinator_config.h"

#include <boost/asio/ip/address.hpp>
#include <string_view>
#include <utility>

#include "common/log.h"
#include "wire/socket.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;

Error bad(const std::string& field, const std::string& problem) {
  return Error{ErrorCode::kInvalidRequest, field + " " + problem, field};
}

Error open_address(const std::string& field, const std::string& text) {
  return bad(field, "'" + text +
                        "' can be reached from other machines and there are no keys yet: "
                        "--insecure allows it");
}

Result<HostPort> listen_address(const std::string& field, const std::string& text, bool insecure) {
  Result<HostPort> address = parse_host_port(text);
  if (!address) return bad(field, "must be HOST:PORT, got '" + text + "'");
  if (!insecure && !is_loopback_host(address->host)) return open_address(field, text);
  return address;
}

// The HTTP server asks no resolver.
Status check_is_numeric(const std::string& field, const HostPort& address) {
  boost::system::error_code error;
  boost::asio::ip::make_address(address.host, error);
  if (!error || address.host == "localhost") return Ok{};
  return bad(field, "must name an IP address or localhost, got '" + address.host + "'");
}

// Of ZeroMQ: "tcp://HOST:PORT" or "ipc://PATH".
Status check_endpoint(const std::string& field, const std::string& text) {
  const std::string_view endpoint = text;
  const bool is_ipc = endpoint.starts_with("ipc://") && endpoint.size() > 6;
  const bool is_tcp = endpoint.starts_with("tcp://") && parse_host_port(endpoint.substr(6));
  if (is_ipc || is_tcp) return Ok{};
  return bad(field, "must be tcp://HOST:PORT or ipc://PATH, got '" + text + "'");
}

Status check_node_endpoint(const std::string& text) {
  if (Status status = check_endpoint("node", text); !status) return status;
  if (!text.starts_with("tcp://")) return Ok{};
  const Result<HostPort> address = parse_host_port(std::string_view(text).substr(6));
  if (address->port != 0 && address->host != "*") return Ok{};
  return bad("node", "must name the host and port to connect to, got '" + text + "'");
}

Status check_zmq(const CoordinatorConfig& config) {
  if (config.zmq.empty()) return Ok{};
  if (Status status = check_endpoint("zmq", config.zmq); !status) return status;
  if (!config.insecure && !wire::is_local_endpoint(config.zmq))
    return open_address("zmq", config.zmq);
  return Ok{};
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

std::optional<uint64_t> seed_of(const CoordinatorConfig& config) {
  if (!config.seed) return std::nullopt;
  return static_cast<uint64_t>(*config.seed);
}

RelayConfig relay_config(const CoordinatorConfig& config, RoutingPolicy policy) {
  RelayConfig relay;
  relay.zmq_endpoint = config.zmq;
  relay.node_endpoints = config.node;
  relay.policy = policy;
  relay.timeouts.suspect = milliseconds(config.node_suspect_ms);
  relay.timeouts.dead = milliseconds(config.node_dead_ms);
  relay.forwarder.seed = seed_of(config);
  relay.forwarder.max_inflight = static_cast<size_t>(config.max_inflight);
  relay.forwarder.request_timeout = milliseconds(config.request_timeout_ms);
  return relay;
}

}  // namespace

Result<CoordinatorSettings> resolve(const CoordinatorConfig& config) {
  if (Status numbers = check_numbers(config); !numbers) return numbers.error();
  TRY(HostPort http, listen_address("http", config.http, config.insecure));
  TRY([[maybe_unused]] const Ok numeric, check_is_numeric("http", http));
  TRY(HostPort admin, listen_address("admin", config.admin, config.insecure));
  TRY(const RoutingPolicy policy, routing_policy_from_string(config.policy));
  TRY([[maybe_unused]] const Ok zmq, check_zmq(config));
  for (const std::string& node : config.node) {
    if (Status status = check_node_endpoint(node); !status) return status.error();
  }
  CoordinatorSettings settings;
  settings.http = http_config(config, std::move(http));
  settings.admin = std::move(admin);
  settings.relay = relay_config(config, policy);
  settings.seed = seed_of(config);
  settings.keep_alive = milliseconds(config.keep_alive_ms);
  return settings;
}

Result<CoordinatorSettings> resolve_with_node(const CoordinatorConfig& config) {
  if (config.node.empty()) return bad("node", "is missing: name at least one with --node");
  return resolve(config);
}

}  // namespace lockstep
