// CoordinatorApp: a whole coordinator, put together from its settings: relay, HTTP server, admin
// port. Used by lockstep-coordinator and, in one process with a node, by `lockstep serve`.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "common/result.h"
#include "coordinator/app/coordinator_config.h"

namespace prometheus {
class Registry;
}

namespace lockstep {

class CoordinatorApp {
 public:
  // Listens on every address. With `registry` absent the app has its own and serves the admin
  // port; with one, its metrics join those of the caller, who serves them.
  static Result<std::unique_ptr<CoordinatorApp>> start(
      const CoordinatorConfig& config, std::shared_ptr<prometheus::Registry> registry = nullptr);
  ~CoordinatorApp();

  std::string http_address() const;   // HOST:PORT, the real port
  std::string zmq_endpoint() const;   // empty = none
  std::string admin_address() const;  // empty when the caller serves it
  bool ready() const;                 // a node takes requests
  bool alive() const;                 // its ZeroMQ thread does not hang

  // Refuses new work and lets what runs finish. True if all of it did in time; `hurry`, asked
  // every 100 ms, ends the wait early. What still runs then is cancelled and told so.
  bool drain(std::chrono::milliseconds timeout, const std::function<bool()>& hurry);

 private:
  struct Parts;
  explicit CoordinatorApp(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

}  // namespace lockstep
