// AdminHttp: the small HTTP server of health, metrics and control verbs for monitoring and
// operators, not for users. A verb, in the files of the admin port, is any route that is not a
// probe. The server has two threads: one moves bytes and answers the probes, and does nothing else;
// the other starts verbs and writes their answers. A verb that waits for another
// thread blocks neither: its answer comes later, or the verb times out. Connections, verbs, bytes
// and times are bounded, with room reserved for probes. The server knows nothing of its routes'
// content.
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
#include "common/service/http/url.h"

namespace lockstep {

struct AdminResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// Writes an answer on the verbs' thread. An exception becomes a 500.
using AdminAnswer = std::function<AdminResponse()>;
// Hands over the answer. Any thread, now or later, even after the server's end. Only the first call
// of a request counts, and none after the request's timeout.
using AdminReply = std::function<void(AdminAnswer)>;
using AdminQuery = UrlQuery;
// Begins a verb on the verbs' thread without blocking; slow work ends with a call of the reply.
using AdminVerb = std::function<void(const AdminQuery&, AdminReply)>;

// The answers of a path: to GET and HEAD, to POST, or to both. Other methods get a 405.
struct AdminRoute {
  AdminRoute() = default;
  // A GET that is answered within milliseconds.
  template <class F, class = std::enable_if_t<std::is_invocable_r_v<AdminResponse, F>>>
  AdminRoute(F answer)  // NOLINT(google-explicit-constructor)
      : get([answer = AdminAnswer(std::move(answer))](const AdminQuery&, const AdminReply& reply) {
          reply(answer);
        }) {}

  AdminVerb get;
  AdminVerb post;
  std::chrono::milliseconds timeout{10'000};  // from the request to the reply
  AdminAnswer late;                           // the answer after the timeout; empty: 504
  // Instead of `get`: true gives 200 "ok", false 503 "not ready". Runs on the probes' thread, so it
  // only reads atomics.
  std::function<bool()> probe;
};
// "/metrics" -> route. A path that ends in '/' is the route of every path below it that has none of
// its own; its verb finds what follows the path, decoded, in the query under kBelowPath.
using AdminRoutes = std::map<std::string, AdminRoute, std::less<>>;
inline constexpr const char* kBelowPath = "";

// {"error": {"code", "message", "param"}} with the status of the code. The message must be plain
// text of this program, because it is not escaped.
AdminResponse admin_error(const Error& error);

class AdminHttp {
 public:
  // Listens and starts the threads. Port 0 picks a free port. With `insecure`, requests under other
  // names than loopback's are answered too (common/service/http/http_guard.h).
  static Result<std::unique_ptr<AdminHttp>> start(const HostPort& address, AdminRoutes routes,
                                                  bool insecure = false);
  ~AdminHttp();  // closes every connection, joins the threads

  const HostPort& address() const;  // with the actual port

 private:
  struct Impl;
  explicit AdminHttp(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The state behind the four probe paths. Each function is called on the probes' thread.
struct Health {
  std::function<bool()> live;     // false if the process hangs and should be restarted
  std::function<bool()> ready;    // accepts new requests now
  std::function<bool()> started;  // the model is loaded
};

// Returns the routes "/health" and "/readyz" (ready), "/livez" (live) and "/startupz" (started).
// Each answers 200 "ok" or 503 "not ready".
AdminRoutes health_routes(const Health& health);

}  // namespace lockstep
