// HttpHandler: what a port does with a request. HttpReply: how the handler answers it. The handler
// and the functions of the reply are coroutines on the connection's executor. Neither knows sockets
// or paths.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <string>

#include "common/service/http/http_message.h"

namespace lockstep {

// Sends one response: either send() once, or begin_events(), send_events() any number of times,
// end_events(). All functions run on the connection's executor. They return false when the
// connection is closed and nothing more can be sent. Each write waits until the kernel has taken
// the bytes, so a client that reads slowly slows its handler down.
class HttpReply {
 public:
  virtual ~HttpReply() = default;
  virtual boost::asio::any_io_executor executor() = 0;

  virtual boost::asio::awaitable<bool> send(HttpResponse response) = 0;
  virtual boost::asio::awaitable<bool> begin_events(HttpHeaders headers) = 0;
  virtual boost::asio::awaitable<bool> send_events(std::string text) = 0;
  virtual boost::asio::awaitable<bool> end_events() = 0;

  // Calls `on_gone` once on the executor if the client closes its side before the response is
  // complete. Bytes that the client sends meanwhile (a pipelined request) are kept. When they
  // reach HttpLimits::unparsed_bytes, the connection closes and `on_gone` is called too.
  virtual void watch_client(std::function<void()> on_gone) = 0;
};

// A handler returns when the response is complete.
using HttpHandler = std::function<boost::asio::awaitable<void>(HttpRequest&, HttpReply&)>;

}  // namespace lockstep
