// AdminHttp: the small HTTP server of health and metrics, for machines that watch, not for users.
// One thread runs it and every handler; GET and HEAD only, bounded in connections, bytes and time.
// Knows nothing of what its routes say.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "common/host_port.h"
#include "common/result.h"

namespace lockstep {

struct AdminResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// Runs on the server's thread; should answer within milliseconds.
using AdminHandler = std::function<AdminResponse()>;
using AdminRoutes = std::map<std::string, AdminHandler, std::less<>>;  // "/metrics" -> handler

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
