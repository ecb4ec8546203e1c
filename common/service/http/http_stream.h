// HttpStream: the bytes of one HTTP/1.1 connection. It reads one request after the other, each head
// before its body, and writes what it is given. http_stream.cpp alone includes Beast's parser,
// which is slow to compile. Knows limits of bytes, but no ports and no answers. The owner's
// coroutine calls it on the connection's executor, one operation at a time.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/result.h"
#include "common/service/http/http_guard.h"
#include "common/service/http/http_message.h"

namespace lockstep {

// The first lines of a request. The views are valid until the next request is read.
struct HttpRequestHead {
  HttpHead guarded;  // the method, and what check_head() looks at
  std::string_view target;
  std::string_view request_id;  // X-Request-Id; empty = absent
  std::string_view resume_token, last_event_id;
  std::string_view session_id, route_receipt;
  bool is_http_11 = true;
  bool keep_alive = false;
  bool expects_continue = false;  // the client waits for "100 Continue" before it sends the body
  bool has_other_coding = false;  // the body has a transfer coding other than chunked
};

class HttpStream {
 public:
  using Clock = std::chrono::steady_clock;

  // `limits` must outlive the stream, which uses those of bytes only.
  HttpStream(boost::asio::ip::tcp::socket socket, const HttpLimits& limits);
  ~HttpStream();

  boost::asio::any_io_executor executor();
  // An operation that begins after this call and has not ended by the deadline closes the
  // connection.
  void set_deadline(Clock::time_point deadline);
  // Ends the running operation too.
  void close();

  // Whether there are bytes that were received and not parsed.
  bool has_input() const;
  // These three return false if the client is gone or too slow, so that no answer would reach it,
  // and an Error if what the client sends is not HTTP or exceeds a limit.
  boost::asio::awaitable<bool> wait_input();
  boost::asio::awaitable<Result<bool>> read_head();
  // Reads a part of the body that begins behind the head.
  boost::asio::awaitable<Result<bool>> read_body_part();
  const HttpRequestHead& head() const;
  bool has_whole_body() const;
  size_t n_body_bytes() const;  // read so far
  std::string take_body();

  // Writes the parts one behind the other. False if the connection is closed.
  boost::asio::awaitable<bool> write(std::string_view first, std::string_view second = {},
                                     std::string_view third = {});
  // Ends the sending side, then reads and drops up to `n_bytes` until the client closes its side.
  boost::asio::awaitable<void> drop_input(size_t n_bytes);

  // Until end_watch(), reads ahead while the owner does not read. If the client closes its side or
  // sends HttpLimits::unparsed_bytes, the stream closes the connection and calls `on_gone` once, on
  // the executor: bytes that stay unread would hide a disconnection. `owner` stays alive meanwhile.
  void watch(const std::shared_ptr<void>& owner, std::function<void()> on_gone);
  void end_watch();

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace lockstep
