#include "common/host_port.h"

#include <charconv>

#include "common/log.h"

namespace lockstep {
namespace {

Error bad_address(std::string_view text) {
  return {ErrorCode::kInvalidRequest,
          str("'", text, "' is not an address like 127.0.0.1:8000 or [::1]:8000"), ""};
}

bool parse_port(std::string_view text, uint16_t& port) {
  if (text == "*") {
    port = 0;
    return true;
  }
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, port);
  return error == std::errc() && stop == end;
}

}  // namespace

Result<HostPort> parse_host_port(std::string_view text) {
  const size_t colon = text.rfind(':');
  HostPort address;
  if (colon == std::string_view::npos || !parse_port(text.substr(colon + 1), address.port)) {
    return bad_address(text);
  }
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host.empty() || host.find_first_of(bracketed ? "[]" : "[]:") != std::string_view::npos) {
    return bad_address(text);
  }
  address.host = host;
  return address;
}

std::string to_string(const HostPort& address) {
  const bool is_ipv6 = address.host.find(':') != std::string::npos;
  return str(is_ipv6 ? "[" : "", address.host, is_ipv6 ? "]:" : ":", address.port);
}

bool is_loopback_host(std::string_view host) {
  return host == "localhost" || host == "::1" ||
         (host.starts_with("127.") &&
          host.find_first_not_of("0123456789.") == std::string_view::npos);
}

}  // namespace lockstep
