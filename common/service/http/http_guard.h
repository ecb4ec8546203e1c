// check_head: refuses HTTP requests that a web page in a browser may have sent. The ports check no
// keys, so a server on loopback trusts every client that can reach it. Every page that is open on
// this machine can reach it: through a name of its own that resolves to 127.0.0.1 (DNS rebinding),
// or by a POST to another site. Pure; any thread.
#pragma once

#include <string_view>

#include "common/result.h"

namespace lockstep {

// The part of a request that is checked before its body is read.
struct HttpHead {
  std::string_view method = {};
  int n_hosts = 0;  // number of Host headers
  std::string_view host = {};
  std::string_view origin = {};        // empty = absent
  std::string_view content_type = {};  // empty = absent
  bool has_body = false;
};

// True if the server listens on loopback and must not be used under other names.
bool guards_host(std::string_view listen_host, bool insecure);

// Returns kForbidden if `is_guarded` and the Host, or the Origin of anything but a GET or HEAD, is
// not loopback, and kInvalidRequest if `is_guarded` and there are several Host headers; a request
// without these headers is not a browser's and passes. Returns kUnsupportedMediaType for a body
// that is not declared application/json: a page can declare that only after a preflight request to
// the server.
Status check_head(const HttpHead& head, bool is_guarded);

}  // namespace lockstep
