// HttpServer: listens, accepts, and runs one HttpSession per connection on its own Asio threads,
// each connection on a strand. It limits the number of connections and closes them in an orderly
// way at shutdown. It gives the public port its headers, its error bodies and its count of
// responses. Knows no paths. Its functions are called on the owner's thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>

#include "common/host_port.h"
#include "common/result.h"
#include "common/service/http/http_reply.h"
#include "coordinator/http/http_config.h"
#include "coordinator/http/id_generator.h"
#include "coordinator/probes.h"

namespace lockstep {

// The number of HTTP connections to allow: `n_wanted`, but less than the process's limit of file
// descriptors, because the admin port, ZeroMQ and files need some too.
size_t connections_within(size_t n_wanted, size_t n_descriptors);

class HttpServer {
 public:
  // Listens and starts the threads, which call the handler.
  static Result<std::unique_ptr<HttpServer>> start(HttpServerConfig config, HttpHandler handler,
                                                   IdGenerator& ids, CoordinatorProbes& probes);
  ~HttpServer();  // stop(); closes every connection

  const HostPort& address() const;  // with the port in use

  // Stops accepting and closes idle connections. Each other connection closes after its present
  // response.
  void begin_drain();
  // Returns true once no connection is left, false after `timeout`.
  bool wait_drained(std::chrono::milliseconds timeout);
  // Ends the threads. Unfinished requests stay unanswered until this object is destroyed.
  void stop();

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace lockstep
