#include "coordinator/app/coordinator_config.h"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <limits>
#include <string_view>
#include <utility>

#include "common/log.h"
#include "wire/zmq/endpoint.h"
#include "wire/zmq/socket.h"

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

// The HTTP server does not resolve names, so the address must be numeric.
Status check_is_numeric(const std::string& field, const HostPort& address) {
  boost::system::error_code error;
  boost::asio::ip::make_address(address.host, error);
  if (!error || address.host == "localhost") return Ok{};
  return bad(field, "must name an IP address or localhost, got '" + address.host + "'");
}

// A ZeroMQ endpoint is "tcp://HOST:PORT" or "ipc://PATH".
Status check_endpoint(const std::string& field, const std::string& text) {
  if (wire::canonical_endpoint(text)) return Ok{};
  return bad(field, "must be tcp://HOST:PORT or ipc://PATH, got '" + text + "'");
}

Status check_node_endpoint(const std::string& text) {
  if (Status status = check_endpoint("node", text); !status) return status;
  if (!text.starts_with("tcp://")) return Ok{};
  const Result<HostPort> address = parse_host_port(std::string_view(text).substr(6));
  if (address->port != 0 && address->host != "*") return Ok{};
  return bad("node", "must name the host and port to connect to, got '" + text + "'");
}

// A node that is listed twice would count as two nodes and get twice its share of the requests.
Status check_nodes(const CoordinatorConfig& config) {
  std::vector<std::string> seen;
  for (const std::string& node : config.nodes) {
    if (Status status = check_node_endpoint(node); !status) return status;
    std::string endpoint = *wire::canonical_endpoint(node);
    if (std::find(seen.begin(), seen.end(), endpoint) != seen.end())
      return bad("node", "'" + node + "' is named twice");
    if (wire::canonical_endpoint(config.zmq) == endpoint)
      return bad("node", "'" + node + "' is zmq, this coordinator's own endpoint");
    seen.push_back(std::move(endpoint));
  }
  return Ok{};
}

Status check_listeners(const CoordinatorConfig& config) {
  const wire::Listener listeners[] = {
      {"http", "tcp://" + config.http}, {"zmq", config.zmq}, {"admin", "tcp://" + config.admin}};
  const auto same = wire::same_listeners(listeners);
  if (!same) return Ok{};
  return bad(same->second.field, "listens where " + same->first.field + " does: '" +
                                     same->second.endpoint.substr(6) + "'");
}

Status check_zmq(const CoordinatorConfig& config) {
  if (config.zmq.empty()) return Ok{};
  if (Status status = check_endpoint("zmq", config.zmq); !status) return status;
  if (!config.insecure && !wire::is_local_endpoint(config.zmq))
    return open_address("zmq", config.zmq);
  return Ok{};
}

// 24 days: the largest signed 32-bit number of milliseconds.
constexpr int64_t kMaxMilliseconds = std::numeric_limits<int32_t>::max();

struct Range {
  const char* field;
  int64_t value, low, high;
};

Status check_numbers(const CoordinatorConfig& config) {
  const Range ranges[] = {{"http_threads", config.http_threads, 1, 256},
                          {"max_connections", config.max_connections, 1, int64_t{1} << 20},
                          {"max_inflight", config.max_inflight, 1, int64_t{1} << 20},
                          {"max_inflight_bytes", config.max_inflight_bytes, 1, int64_t{1} << 40},
                          {"header_timeout_ms", config.header_timeout_ms, 1, kMaxMilliseconds},
                          {"body_timeout_ms", config.body_timeout_ms, 1, kMaxMilliseconds},
                          {"idle_timeout_ms", config.idle_timeout_ms, 1, kMaxMilliseconds},
                          {"write_timeout_ms", config.write_timeout_ms, 1, kMaxMilliseconds},
                          {"keep_alive_ms", config.keep_alive_ms, 1, kMaxMilliseconds},
                          {"request_timeout_ms", config.request_timeout_ms, 1, kMaxMilliseconds},
                          {"queue_timeout_ms", config.queue_timeout_ms, 0, kMaxMilliseconds},
                          {"resume_timeout_ms", config.resume_timeout_ms, 0, kMaxMilliseconds},
                          {"drain_timeout_ms", config.drain_timeout_ms, 1, kMaxMilliseconds},
                          {"node_suspect_ms", config.node_suspect_ms, 1, kMaxMilliseconds},
                          {"node_dead_ms", config.node_dead_ms, 1, kMaxMilliseconds},
                          {"verbosity", config.verbosity, 0, 3}};
  for (const Range& range : ranges) {
    if (range.value >= range.low && range.value <= range.high) continue;
    return bad(range.field,
               str("must be from ", range.low, " to ", range.high, ", got ", range.value));
  }
  if (config.node_dead_ms <= config.node_suspect_ms)
    return bad("node_dead_ms", str("must be more than node_suspect_ms, got ", config.node_dead_ms,
                                   " and ", config.node_suspect_ms));
  return Ok{};
}

// The largest HTTP body must fit a message to a node, and the body and its request together must
// fit the budget for bytes in flight.
Status check_sizes(const CoordinatorConfig& config) {
  constexpr auto kMaxBody = static_cast<int64_t>(wire::kMaxBodyBytes);
  if (config.max_body_bytes < 1)
    return bad("max_body_bytes", str("must be at least 1, got ", config.max_body_bytes));
  if (config.max_body_bytes > kMaxBody)
    return bad("max_body_bytes", str("must be at most ", kMaxBody, ", got ", config.max_body_bytes,
                                     ": a message to a node holds ", wire::kMaxMessageBytes));
  constexpr auto kOverhead = static_cast<int64_t>(wire::kMaxMessageBytes - wire::kMaxBodyBytes);
  const int64_t least = 2 * config.max_body_bytes + kOverhead;
  if (config.max_inflight_bytes < least)
    return bad("max_inflight_bytes",
               str("must be at least ", least, ", got ", config.max_inflight_bytes,
                   ": one request of max_body_bytes, ", config.max_body_bytes,
                   ", takes its body, once more as a message, and ", kOverhead));
  return Ok{};
}

HttpServerConfig http_config(const CoordinatorConfig& config, HostPort address) {
  HttpServerConfig http;
  http.address = std::move(address);
  http.insecure = config.insecure;
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

ZmqFrontendConfig zmq_frontend_config(const CoordinatorConfig& config, RoutingPolicy policy) {
  ZmqFrontendConfig frontend;
  frontend.zmq_endpoint = config.zmq;
  frontend.node_endpoints = config.nodes;
  frontend.policy = policy;
  frontend.timeouts.suspect = milliseconds(config.node_suspect_ms);
  frontend.timeouts.dead = milliseconds(config.node_dead_ms);
  frontend.forwarder.seed = seed_of(config);
  frontend.forwarder.max_inflight = static_cast<size_t>(config.max_inflight);
  frontend.forwarder.request_timeout = milliseconds(config.request_timeout_ms);
  frontend.forwarder.queue_timeout = milliseconds(config.queue_timeout_ms);
  frontend.forwarder.resume_timeout = milliseconds(config.resume_timeout_ms);
  return frontend;
}

}  // namespace

Result<CoordinatorSettings> resolve(const CoordinatorConfig& config) {
  if (Status numbers = check_numbers(config); !numbers) return numbers.error();
  TRY([[maybe_unused]] const Ok sizes, check_sizes(config));
  TRY(HostPort http, listen_address("http", config.http, config.insecure));
  TRY([[maybe_unused]] const Ok numeric, check_is_numeric("http", http));
  TRY(HostPort admin, listen_address("admin", config.admin, config.insecure));
  TRY(const RoutingPolicy policy, routing_policy_from_string(config.policy));
  TRY([[maybe_unused]] const Ok zmq, check_zmq(config));
  TRY([[maybe_unused]] const Ok listeners, check_listeners(config));
  TRY([[maybe_unused]] const Ok nodes, check_nodes(config));
  CoordinatorSettings settings;
  settings.http = http_config(config, std::move(http));
  settings.admin = std::move(admin);
  settings.frontend = zmq_frontend_config(config, policy);
  if (!config.resume_key_file.empty()) {
    TRY(settings.frontend.resume_key, ResumeKey::from_file(config.resume_key_file));
  }
  settings.http.bytes = settings.frontend.forwarder.bytes =
      std::make_shared<ByteBudget>(static_cast<size_t>(config.max_inflight_bytes));
  settings.keep_alive = milliseconds(config.keep_alive_ms);
  return settings;
}

Result<CoordinatorSettings> resolve_with_node(const CoordinatorConfig& config) {
  if (config.nodes.empty()) return bad("node", "is missing: name at least one with --node");
  return resolve(config);
}

}  // namespace lockstep
