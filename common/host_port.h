// HostPort: an address in the settings of all listeners: "127.0.0.1:8000", "[::1]:8000",
// "localhost:*". Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/result.h"

namespace lockstep {

struct HostPort {
  std::string host;   // without brackets
  uint16_t port = 0;  // 0 (also written *) = any free port
};

Result<HostPort> parse_host_port(std::string_view text);

// Returns "host:port", with an IPv6 host in brackets.
std::string to_string(const HostPort& address);

// True for 127.0.0.0/8, ::1 and localhost.
bool is_loopback_host(std::string_view host);

}  // namespace lockstep
