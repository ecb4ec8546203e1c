// CoordinatorApp: owns a whole coordinator, built from its settings: ZmqFrontend, HTTP server and
// admin port. lockstep-coordinator uses it, and so does `lockstep serve`, in one process with a
// node. Its functions are called on the owner's thread; ready() and alive() on any thread.
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
  // Listens on every address. Without `registry`, the app has a registry of its own and serves the
  // admin port. With `registry`, the app adds its metrics there, and the caller serves them.
  static Result<std::unique_ptr<CoordinatorApp>> start(
      const CoordinatorConfig& config, std::shared_ptr<prometheus::Registry> registry = nullptr);
  ~CoordinatorApp();

  std::string http_address() const;   // HOST:PORT with the port in use
  std::string zmq_endpoint() const;   // empty = ZeroMQ clients are not served
  std::string admin_address() const;  // empty when the caller serves the admin port
  bool ready() const;                 // some node takes requests
  bool alive() const;                 // the I/O thread does not hang

  // Refuses new requests and waits for the running ones. Returns true if all of them finished
  // within `timeout`. `hurry` is called every 100 ms; it returns true to end the wait early. The
  // requests that still run then are cancelled and get their final messages.
  bool drain(std::chrono::milliseconds timeout, const std::function<bool()>& hurry);

 private:
  struct Parts;
  explicit CoordinatorApp(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

}  // namespace lockstep
