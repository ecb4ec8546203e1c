// AdminSession: one connection of the admin port: reads requests, answers probes itself and hands
// verbs on. AdminFloor: all connections of a port, and who has to go when somebody new comes. Only
// AdminHttp includes this. The probes' thread only.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <list>
#include <memory>
#include <optional>

#include "common/service/http/admin_call.h"
#include "common/service/http/admin_http.h"

namespace lockstep {

class AdminSession;

// Fewer verbs than connections may be open, so there is always one that waits for its client: who
// comes last takes the place of the one that has waited longest. A probe is a new connection that
// asks at once, so it is never the one that goes.
struct AdminFloor {
  static constexpr size_t kMaxConnections = 64;
  static constexpr int kMaxCalls = 32;

  // Closes the connection that has been silent for longest, at least so long. False if none is.
  bool close_silent(std::chrono::milliseconds least);

  // constant after construction
  boost::asio::io_context& io;
  const AdminRoutes& routes;
  const bool is_guarded;
  const std::shared_ptr<AdminJobs::Queue> jobs;
  // of the probes' thread
  std::list<AdminSession*> sessions;  // silent for longest first
  int n_calls = 0;                    // verbs that have not been answered
};

// Keeps itself alive by its pending operation: a read, a write, or the timeout of a call.
class AdminSession : public std::enable_shared_from_this<AdminSession> {
 public:
  AdminSession(boost::asio::ip::tcp::socket socket, AdminFloor& floor);
  ~AdminSession();
  AdminSession(const AdminSession&) = delete;
  AdminSession& operator=(const AdminSession&) = delete;

  void read();

 private:
  friend struct AdminFloor;
  using Clock = std::chrono::steady_clock;
  using Request = boost::beast::http::request<boost::beast::http::string_body>;
  using Response = boost::beast::http::response<boost::beast::http::string_body>;

  void answer(const Request& request);
  void call(const AdminRoute& route, const AdminVerb& verb, AdminQuery query);
  void wait_timeout(std::chrono::milliseconds timeout);
  void on_timeout();
  void end_call(uint64_t id, AdminResponse answer);
  void write(AdminResponse answer);

  AdminFloor& floor_;
  boost::beast::tcp_stream stream_;
  boost::asio::steady_timer timer_;
  boost::beast::flat_buffer buffer_;
  std::list<AdminSession*>::iterator place_;
  Clock::time_point silent_since_;
  bool is_closed_ = false;
  // of the present request
  std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
  Response response_;
  std::shared_ptr<AdminCall> call_;  // or null
  uint64_t call_id_ = 0;             // tells an old call's answer from that of the present one
  AdminAnswer late_;
  std::chrono::milliseconds timeout_{};
};

}  // namespace lockstep
