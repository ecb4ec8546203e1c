#include "common/service/http/http_guard.h"

#include <algorithm>
#include <cctype>
#include <string>

#include "common/host_port.h"

namespace lockstep {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// True for "localhost:8000", "127.0.0.1", "[::1]:8000", with any port or none.
bool names_loopback(std::string_view authority) {
  std::string host = lower(trim(authority));
  if (host.starts_with('[')) {
    const size_t end = host.find(']');
    return end != std::string::npos && is_loopback_host(host.substr(1, end - 1));
  }
  host.resize(std::min(host.find(':'), host.size()));
  return is_loopback_host(host);
}

// "http://localhost:3000". A page without an origin sends "null".
bool is_local_origin(std::string_view origin) {
  const size_t scheme = origin.find("://");
  return scheme != std::string_view::npos && names_loopback(origin.substr(scheme + 3));
}

bool is_json(std::string_view content_type) {
  return lower(trim(content_type.substr(0, content_type.find(';')))) == "application/json";
}

Status check_sender(const HttpHead& head) {
  if (head.n_hosts > 1) {
    return Error{ErrorCode::kInvalidRequest, "a request has one Host header", ""};
  }
  if (head.n_hosts == 1 && !names_loopback(head.host)) {
    return Error{ErrorCode::kForbidden,
                 "the Host header must name localhost, 127.0.0.1 or [::1]: this server listens on "
                 "loopback and is not served under other names (--insecure allows it)",
                 ""};
  }
  const bool only_reads = head.method == "GET" || head.method == "HEAD";
  if (only_reads || head.origin.empty() || is_local_origin(head.origin)) return Ok{};
  return Error{ErrorCode::kForbidden,
               "the Origin header names another site: a page of another site cannot use this "
               "server, which listens on loopback (--insecure allows it)",
               ""};
}

}  // namespace

bool guards_host(std::string_view listen_host, bool insecure) {
  return !insecure && is_loopback_host(listen_host);
}

Status check_head(const HttpHead& head, bool is_guarded) {
  if (is_guarded) {
    if (Status sender = check_sender(head); !sender) return sender;
  }
  if (head.has_body && !is_json(head.content_type)) {
    return Error{ErrorCode::kUnsupportedMediaType,
                 "the Content-Type header of a request with a body must be application/json", ""};
  }
  return Ok{};
}

}  // namespace lockstep
