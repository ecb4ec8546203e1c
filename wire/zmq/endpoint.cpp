#include "wire/zmq/endpoint.h"

#include <algorithm>
#include <utility>

#include "common/host_port.h"
#include "common/log.h"

namespace lockstep::wire {
namespace {

constexpr std::string_view kTcp = "tcp://", kIpc = "ipc://";

char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

std::optional<HostPort> tcp_address(std::string_view endpoint) {
  if (!endpoint.starts_with(kTcp)) return std::nullopt;
  Result<HostPort> address = parse_host_port(endpoint.substr(kTcp.size()));
  return address ? std::optional(std::move(*address)) : std::nullopt;
}

bool takes_a_free_port(std::string_view endpoint) {
  const std::optional<HostPort> address = tcp_address(endpoint);
  return address && address->port == 0;
}

}  // namespace

std::optional<std::string> canonical_endpoint(std::string_view endpoint) {
  if (endpoint.starts_with(kIpc)) {
    if (endpoint.size() == kIpc.size()) return std::nullopt;
    return std::string(endpoint);
  }
  std::optional<HostPort> address = tcp_address(endpoint);
  if (!address) return std::nullopt;
  std::transform(address->host.begin(), address->host.end(), address->host.begin(), to_lower);
  return std::string(kTcp) + to_string(*address);
}

std::optional<std::string> reachable_endpoint(std::string_view node, std::string_view bound) {
  const std::optional<HostPort> from = tcp_address(node), to = tcp_address(bound);
  if (!from && !canonical_endpoint(node)) return std::nullopt;
  const bool is_here = !from || is_loopback_host(from->host);
  if (to && to->port != 0)
    return str(kTcp, to_string(HostPort{from ? from->host : "127.0.0.1", to->port}));
  return is_here && bound.starts_with(kIpc) ? canonical_endpoint(bound) : std::nullopt;
}

std::optional<std::pair<Listener, Listener>> same_listeners(std::span<const Listener> listeners) {
  for (size_t i = 0; i < listeners.size(); ++i) {
    const auto address = canonical_endpoint(listeners[i].endpoint);
    if (!address || takes_a_free_port(*address)) continue;
    for (size_t k = 0; k < i; ++k) {
      if (canonical_endpoint(listeners[k].endpoint) == address)
        return std::pair(listeners[k], listeners[i]);
    }
  }
  return std::nullopt;
}

}  // namespace lockstep::wire
