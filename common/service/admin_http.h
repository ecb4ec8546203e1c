// AdminHttp: the small HTTP server of health, metrics and control verbs, for machines that watch
// and for operators, not for users. One thread runs it and every handler; bounded in connections,
// bytes and time. Knows nothing of what its routes say.
#pragma once

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

// Run on the server's thread; should answer within milliseconds.
using AdminHandler = std::function<AdminResponse()>;
using AdminQuery = std::map<std::string, std::string, std::less<>>;  // "?a=1&b=2", decoded
using AdminAction = std::function<AdminResponse(const AdminQuery&)>;

// What a path answers: to GET and HEAD, to POST, or both; 405 to the rest.
struct AdminRoute {
  AdminRoute() = default;
  template <class F, class = std::enable_if_t<std::is_invocable_r_v<AdminResponse, F>>>
  AdminRoute(F handler) : get(std::move(handler)) {}  // NOLINT(google-explicit-constructor)

  AdminHandler get;
  AdminAction post;
};
using AdminRoutes = std::map<std::string, AdminRoute, std::less<>>;  // "/metrics" -> route

class AdminHttp {
 public:
  // Listens and starts its thread. Port 0 takes a free one.
  static Result<std::unique_ptr<AdminHttp>> start(const HostPort& address, AdminRoutes routes);
  ~AdminHttp();  // closes every connection, joins the thread

  const HostPort& address() const;  // with the port that was taken

 private:
  struct Impl;
  explicit AdminHttp(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// What the four probe paths answer. Each function is called on the server's thread.
struct Health {
  std::function<bool()> live;     // not hung: else the process should be restarted
  std::function<bool()> ready;    // takes new requests now
  std::function<bool()> started;  // the model is loaded
};
// "/health", "/readyz" (ready), "/livez" (live), "/startupz" (started): 200 "ok" or 503 "not
// ready".
AdminRoutes health_routes(const Health& health);

}  // namespace lockstep
