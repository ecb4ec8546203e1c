// HttpServer: listens, accepts, and runs one HttpSession per connection on its own Asio threads. It
// limits the number of connections and closes them in an orderly way at shutdown. Knows no paths.
// Its functions are called on the owner's thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/host_port.h"
#include "common/result.h"
#include "coordinator/http/http_config.h"
#include "coordinator/http/http_session.h"

namespace lockstep {

// The number of HTTP connections to allow: `n_wanted`, but less than the process's limit of file
// descriptors, because the admin port, ZeroMQ and files need some too.
size_t connections_within(size_t n_wanted, size_t n_descriptors);

class HttpServer {
 public:
  // Listens and starts the threads.
  static Result<std::unique_ptr<HttpServer>> start(HttpServerConfig config, HttpHandler handler,
                                                   IdGenerator& ids, CoordinatorProbes& probes);
  ~HttpServer();  // stop(); closes every connection

  const HostPort& address() const { return address_; }  // with the port in use

  // Stops accepting and closes idle connections. Each other connection closes after its present
  // response.
  void begin_drain();
  // Returns true once no connection is left, false after `timeout`.
  bool wait_drained(std::chrono::milliseconds timeout);
  // Ends the threads. Unfinished requests stay unanswered until this object is destroyed.
  void stop();

 private:
  HttpServer(HttpServerConfig config, HttpHandler handler, IdGenerator& ids,
             CoordinatorProbes& probes);
  Status listen();
  boost::asio::awaitable<void> accept_loop();
  boost::asio::awaitable<void> pause();
  void run_session(boost::asio::ip::tcp::socket socket);
  void on_session_end(std::list<std::weak_ptr<HttpSession>>::iterator entry);
  size_t n_sessions() const;
  void note_accept_failure(const std::string& reason);

  // constant after start()
  const HttpServerConfig config_;
  HttpContext context_;
  HostPort address_;
  // used by the accept loop only
  uint64_t n_accept_failures_ = 0;  // since the last log line
  std::chrono::steady_clock::time_point next_failure_line_{};
  // any thread
  std::atomic<bool> draining_{false};
  // guarded by mutex_
  mutable std::mutex mutex_;
  std::condition_variable session_ended_;
  std::list<std::weak_ptr<HttpSession>> sessions_;
  boost::asio::io_context io_;
  boost::asio::ip::tcp::acceptor acceptor_{boost::asio::make_strand(io_)};
  std::vector<std::thread> threads_;
};

}  // namespace lockstep
