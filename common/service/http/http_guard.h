// HttpGuard: refuses HTTP requests that a web page in a browser may have sent. Without keys, a
// server on loopback trusts every client that can reach it. Any web page that is open on this
// machine can reach it: through a host name of its own that resolves to 127.0.0.1 (DNS rebinding),
// or by a cross-site POST. Pure; any thread.
#pragma once

#include <string_view>

#include "common/result.h"

namespace lockstep {

// HttpHead: the header fields that the check needs, known before the body is read.
struct HttpHead {
  std::string_view method = {};
  int n_hosts = 0;  // number of Host headers
  std::string_view host = {};
  std::string_view origin = {};        // empty = absent
  std::string_view content_type = {};  // empty = absent
  bool has_body = false;
};

// Returns true if the server listens on loopback and must refuse other host names.
bool guards_host(std::string_view listen_host, bool insecure);

// Errors:
// - kForbidden if `is_guarded` and the Host is not loopback, or the Origin of a request other than
//   GET or HEAD is not loopback. A request without these headers does not come from a browser and
//   is accepted.
// - kUnsupportedMediaType if there is a body whose Content-Type is not application/json. A page
//   cannot send that type to another site without a preflight request.
Status check_head(const HttpHead& head, bool is_guarded);

}  // namespace lockstep
