// HttpGuard: what the HTTP servers refuse because a web page in a browser may have sent it. Without
// keys, a server on loopback trusts whoever can reach it, and every page that is open on this
// machine can: by a name of its own that it points at 127.0.0.1 (DNS rebinding), or by a POST to
// another site. Pure; any thread.
#pragma once

#include <string_view>

#include "common/result.h"

namespace lockstep {

// What a request says of itself, before its body is read.
struct HttpHead {
  std::string_view method = {};
  int n_hosts = 0;  // Host headers
  std::string_view host = {};
  std::string_view origin = {};        // empty: none
  std::string_view content_type = {};  // empty: none
  bool has_body = false;
};

// True if the server listens on loopback and may not be used under other names.
bool guards_host(std::string_view listen_host, bool insecure);

// kForbidden if `is_guarded` and the Host, or the Origin of anything but a GET or HEAD, is not
// loopback (a request without them is not a browser's and passes); kUnsupportedMediaType if there
// is a body and it is not declared application/json, which a page cannot do without asking the
// server first.
Status check_head(const HttpHead& head, bool is_guarded);

}  // namespace lockstep
