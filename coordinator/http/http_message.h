// HTTP types for the handlers: a request that was read completely, and the interface for the reply.
// Knows Asio's coroutines, but neither Beast nor sockets nor OpenAI.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "common/memory/byte_budget.h"

namespace lockstep {

struct HttpRequest {
  std::string method;      // "GET" also for HEAD: the session omits the body of the response
  std::string path;        // still percent-encoded, without the query
  std::string body;        // at most HttpLimits::body_bytes
  std::string request_id;  // the client's X-Request-Id, or a generated one
  ByteHold body_bytes;     // the body's share of the budget for bytes in flight

  // Frees the body early. A long-running handler calls this once it has parsed the body.
  void drop_body() {
    body = std::string();
    body_bytes = ByteHold();
  }
};

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpResponse {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  HttpHeaders headers;
};

// HttpReply: sends one response: either send() once, or begin_events(), send_events() any number of
// times, end_events(). All functions run on the connection's executor, which is its strand. They
// return false when the connection is closed and nothing more can be sent.
class HttpReply {
 public:
  virtual ~HttpReply() = default;
  virtual boost::asio::any_io_executor executor() = 0;

  virtual boost::asio::awaitable<bool> send(HttpResponse response) = 0;
  virtual boost::asio::awaitable<bool> begin_events(HttpHeaders headers) = 0;
  virtual boost::asio::awaitable<bool> send_events(std::string text) = 0;
  virtual boost::asio::awaitable<bool> end_events() = 0;

  // Calls `on_gone` once on the executor if the client closes its side before the response is
  // complete. Bytes that the client sends meanwhile (a pipelined request) are kept; too many of
  // them close the connection.
  virtual void watch_peer(std::function<void()> on_gone) = 0;
};

// A handler returns when the response is complete.
using HttpHandler = std::function<boost::asio::awaitable<void>(HttpRequest&, HttpReply&)>;

}  // namespace lockstep
