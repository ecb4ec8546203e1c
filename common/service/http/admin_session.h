// AdminSession: one connection of the admin port. It reads requests, answers probes itself and
// hands verbs to AdminJobs. AdminFloor: all connections of a port, and which of them is closed for
// a new one. Only AdminHttp includes this file. The probes' thread only.
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

// Fewer verbs than connections may be open, so at least one connection always waits for its client.
// A new connection replaces the one that has waited longest. A probe is a new connection that sends
// its request at once, so a probe is never the one that is replaced.
struct AdminFloor {
  static constexpr size_t kMaxConnections = 64;
  static constexpr int kMaxCalls = 32;

  // Closes the connection that has been silent for longest, if for `least` or more. False if none
  // has.
  bool close_silent(std::chrono::milliseconds least);

  // constant after construction
  boost::asio::io_context& io;
  const AdminRoutes& routes;
  const bool is_guarded;
  const std::shared_ptr<AdminJobs::Queue> jobs;
  // probes' thread
  std::list<AdminSession*> sessions;  // the longest silent one first
  int n_calls = 0;                    // verbs that have not been answered
};

// The pending operation (a read, a write, or the timeout of a call) keeps the session alive.
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
  // the current request
  std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
  Response response_;
  std::shared_ptr<AdminCall> call_;  // or null
  uint64_t call_id_ = 0;             // distinguishes the current call's answer from an old one's
  AdminAnswer late_;
  std::chrono::milliseconds timeout_{};
};

}  // namespace lockstep
