// AdminHttp: the small HTTP server for health probes, metrics and control verbs. Its clients are
// monitoring systems and operators, not users. It has two threads. The probes' thread moves bytes
// and answers the probes, and does nothing else. The verbs' thread starts verbs and writes their
// answers. A verb that waits for another thread blocks neither: its answer comes later, or the
// request times out. Connections, verbs, bytes and time are bounded, with room reserved for probes.
// The server knows nothing about the content of its routes.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "common/host_port.h"
#include "common/result.h"

namespace lockstep {

struct AdminResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// Produces a response, on the verbs' thread. An exception becomes a response with status 500.
using AdminAnswer = std::function<AdminResponse()>;
// Passes the answer to the server. It may be called on any thread, at any time, even after the
// server was destroyed. Only the first call for a request counts, and none after its timeout.
using AdminReply = std::function<void(AdminAnswer)>;
using AdminQuery = std::map<std::string, std::string, std::less<>>;  // "?a=1&b=2", decoded
// Starts a verb, on the verbs' thread. It must not wait: a verb that takes time calls the reply
// later.
using AdminVerb = std::function<void(const AdminQuery&, AdminReply)>;

// AdminRoute: the handlers of a path: for GET and HEAD, for POST, or for both. Other methods get
// 405.
struct AdminRoute {
  AdminRoute() = default;
  // A GET route whose answer is computed within milliseconds.
  template <class F, class = std::enable_if_t<std::is_invocable_r_v<AdminResponse, F>>>
  AdminRoute(F answer)  // NOLINT(google-explicit-constructor)
      : get([answer = AdminAnswer(std::move(answer))](const AdminQuery&, const AdminReply& reply) {
          reply(answer);
        }) {}

  AdminVerb get;
  AdminVerb post;
  std::chrono::milliseconds timeout{10'000};  // from the request to the reply
  AdminAnswer late;                           // the answer after the timeout; absent: 504
  // Replaces `get` for a probe: true gives 200 "ok", false gives 503 "not ready". It is called on
  // the probes' thread, so it must only read an atomic or two.
  std::function<bool()> probe;
};
using AdminRoutes = std::map<std::string, AdminRoute, std::less<>>;  // "/metrics" -> route

// Returns {"error": {"code", "message", "param"}} with the status of the code. The message must be
// a text of this program, because it is not escaped.
AdminResponse admin_error(const Error& error);

class AdminHttp {
 public:
  // Listens and starts the threads. Port 0 takes a free port. `insecure`: requests with other host
  // names than loopback's are answered too (common/service/http/http_guard.h).
  static Result<std::unique_ptr<AdminHttp>> start(const HostPort& address, AdminRoutes routes,
                                                  bool insecure = false);
  ~AdminHttp();  // closes every connection, joins the threads

  const HostPort& address() const;  // with the port in use

 private:
  struct Impl;
  explicit AdminHttp(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Health: the state behind the four probe paths. Each function is called on the probes' thread.
struct Health {
  std::function<bool()> live;     // the process does not hang; if false, it should be restarted
  std::function<bool()> ready;    // the process takes new requests now
  std::function<bool()> started;  // the model is loaded
};

// Returns the routes "/health" and "/readyz" (ready), "/livez" (live) and "/startupz" (started).
// Each answers 200 "ok" or 503 "not ready".
AdminRoutes health_routes(const Health& health);

}  // namespace lockstep
