// HttpServer: listens, accepts, and runs one HttpSession per connection on its own Asio threads.
// Bounds the number of connections; ends them in order at shutdown. Knows no paths.
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

// As many as are wanted, but fewer than the process may have descriptors: the admin port, ZeroMQ
// and files need some as well.
size_t connections_within(size_t n_wanted, size_t n_descriptors);

class HttpServer {
 public:
  // Listens and starts the threads.
  static Result<std::unique_ptr<HttpServer>> start(HttpServerConfig config, HttpHandler handler,
                                                   IdGenerator& ids, CoordinatorProbes& probes);
  ~HttpServer();  // stop(); closes every connection

  const HostPort& address() const { return address_; }  // with the port that was taken

  // Stops accepting, closes idle connections; the others end with their present answer.
  void begin_drain();
  // True once no connection is left.
  bool wait_drained(std::chrono::milliseconds timeout);
  // Ends the threads. Requests stay where they are, unanswered, until this object goes.
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
  // of the accept loop
  uint64_t n_accept_failures_ = 0;  // since the last line in the log
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
