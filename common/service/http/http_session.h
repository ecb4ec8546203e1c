// HttpSession: one HTTP/1.1 connection of any port. It reads requests one after the other, within
// limits of size and time, passes each to the port's handler and sends what the handler answers,
// whole or as a stream of events. What two ports do differently is in HttpPort. All of it runs on
// the connection's executor, which lets one function run at a time; the functions that any thread
// may call say so.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/service/http/http_reply.h"
#include "common/service/http/http_stream.h"

namespace lockstep {

// HttpPort: what all sessions of a port share. It must outlive them, and with several threads its
// functions are called on each.
struct HttpPort {
  HttpLimits limits;
  HttpHandler handler;
  std::function<HttpResponse(const Error&)> error_response;
  // True: a request that is malformed, too large or refused by check_head() is answered before its
  // body is read, after which the connection closes; a client that expects "100 Continue" gets it.
  // False: every request is read to its end before it is answered, and the connection closes
  // without an answer if that fails.
  bool answers_early = false;
  bool is_guarded = false;  // refuse Host and Origin names other than loopback's
  std::shared_ptr<ByteBudget> bytes = nullptr;  // for bodies, also half-read ones; null = no limit
  std::function<bool()> draining = [] { return false; };  // true: close after the present response
  std::function<std::string()> new_request_id = [] { return std::string(); };
  // Called for each response before it is sent: counts it, and adds the port's own headers.
  std::function<void(HttpResponse&, const std::string& request_id)> on_response =
      [](HttpResponse&, const std::string&) {};
};

class HttpSession final : public HttpReply, public std::enable_shared_from_this<HttpSession> {
 public:
  using Clock = HttpStream::Clock;

  HttpSession(boost::asio::ip::tcp::socket socket, const HttpPort& port);

  // Serves the connection until it ends, then calls `on_end` on the executor. The session keeps
  // itself alive meanwhile. Any thread, once.
  void start(std::function<void()> on_end);
  // Closes the connection if no request is being read or answered. Any thread.
  void close_if_idle();
  void close();
  // Since when the connection waits for its client to send a request or to read an answer; nullopt
  // while a handler works, and after the end.
  std::optional<Clock::time_point> waiting_since() const;

  boost::asio::any_io_executor executor() override { return stream_.executor(); }
  boost::asio::awaitable<bool> send(HttpResponse response) override;
  boost::asio::awaitable<bool> begin_events(HttpHeaders headers) override;
  boost::asio::awaitable<bool> send_events(std::string text) override;
  boost::asio::awaitable<bool> end_events() override;
  void watch_client(std::function<void()> on_gone) override;

 private:
  boost::asio::awaitable<void> run();
  boost::asio::awaitable<bool> wait_request();
  boost::asio::awaitable<bool> serve_one_request();
  boost::asio::awaitable<Result<bool>> read_request();
  boost::asio::awaitable<Result<bool>> read_body();
  boost::asio::awaitable<void> refuse(const Error& error);
  boost::asio::awaitable<bool> write(std::string_view first, std::string_view second = {},
                                     std::string_view third = {});
  void begin_request();
  HttpRequest take_request();
  void limit_reading(std::chrono::milliseconds timeout);

  const HttpPort& port_;
  HttpStream stream_;
  std::optional<Clock::time_point> waiting_since_ = Clock::now();
  bool is_open_ = true;
  bool is_first_ = true;  // no request has arrived yet
  bool is_idle_ = false;  // no byte of the next request has arrived
  // the present request
  Clock::time_point read_deadline_;
  std::string request_id_;
  Status allowed_ = Ok{};  // by check_head()
  ByteHold body_hold_;
  bool is_head_ = false;
  bool is_http_11_ = true;
  bool keep_alive_ = false;
};

}  // namespace lockstep
