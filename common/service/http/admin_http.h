// AdminHttp: the small HTTP server of health, metrics and control verbs, for machines that watch
// and for operators, not for users. Two threads: one moves bytes and answers the probes, and does
// nothing else; the other starts verbs and writes their answers. A verb that waits for somebody
// holds neither: its answer comes later, or its time is up. Bounded in connections, verbs, bytes
// and time, with room kept for probes. Knows nothing of what its routes say.
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

// Writes an answer, on the verbs' thread. What it throws is answered 500.
using AdminAnswer = std::function<AdminResponse()>;
// Hands over the answer. Any thread, now or later, also when the server is gone; the first call of
// a request counts, and none after its timeout.
using AdminReply = std::function<void(AdminAnswer)>;
using AdminQuery = std::map<std::string, std::string, std::less<>>;  // "?a=1&b=2", decoded
// Begins a verb, on the verbs' thread, and does not wait: what takes time ends in the reply.
using AdminVerb = std::function<void(const AdminQuery&, AdminReply)>;

// What a path answers: to GET and HEAD, to POST, or both; 405 to the rest.
struct AdminRoute {
  AdminRoute() = default;
  // A GET whose answer is at hand within milliseconds.
  template <class F, class = std::enable_if_t<std::is_invocable_r_v<AdminResponse, F>>>
  AdminRoute(F answer)  // NOLINT(google-explicit-constructor)
      : get([answer = AdminAnswer(std::move(answer))](const AdminQuery&, const AdminReply& reply) {
          reply(answer);
        }) {}

  AdminVerb get;
  AdminVerb post;
  std::chrono::milliseconds timeout{10'000};  // from the request to the reply
  AdminAnswer late;                           // after the timeout; without one: 504
  // Instead of `get`: 200 "ok" or 503 "not ready", asked on the probes' thread; reads an atomic or
  // two.
  std::function<bool()> probe;
};
using AdminRoutes = std::map<std::string, AdminRoute, std::less<>>;  // "/metrics" -> route

// {"error": {"code", "message", "param"}} with the status of the code. The message is plain text
// of ours: nothing in it is escaped.
AdminResponse admin_error(const Error& error);

class AdminHttp {
 public:
  // Listens and starts its threads. Port 0 takes a free one. insecure: requests under other names
  // than loopback's are answered too (common/service/http/http_guard.h).
  static Result<std::unique_ptr<AdminHttp>> start(const HostPort& address, AdminRoutes routes,
                                                  bool insecure = false);
  ~AdminHttp();  // closes every connection, joins the threads

  const HostPort& address() const;  // with the port that was taken

 private:
  struct Impl;
  explicit AdminHttp(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// What the four probe paths answer. Each function is called on the probes' thread.
struct Health {
  std::function<bool()> live;     // not hung: else the process should be restarted
  std::function<bool()> ready;    // takes new requests now
  std::function<bool()> started;  // the model is loaded
};
// "/health", "/readyz" (ready), "/livez" (live), "/startupz" (started): 200 "ok" or 503 "not
// ready".
AdminRoutes health_routes(const Health& health);

}  // namespace lockstep
