// HTTP as the handlers see it: a request that has been read whole, and the ways to answer it.
// Knows Asio's coroutines, nothing of Beast, sockets or OpenAI.
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
  std::string method;      // "GET" also for HEAD: the session leaves the body out
  std::string path;        // still percent-encoded, without the query
  std::string body;        // within the limit
  std::string request_id;  // the client's X-Request-Id, or one of ours
  ByteHold body_bytes;     // of the budget for what is in flight

  // For a handler that has read it and has long to go.
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

// One answer: send() once, or begin_events(), send_events()…, end_events(). All of them on the
// connection's executor; false means that the connection is gone and nothing more can be sent.
class HttpReply {
 public:
  virtual ~HttpReply() = default;
  virtual boost::asio::any_io_executor executor() = 0;

  virtual boost::asio::awaitable<bool> send(HttpResponse response) = 0;
  virtual boost::asio::awaitable<bool> begin_events(HttpHeaders headers) = 0;
  virtual boost::asio::awaitable<bool> send_events(std::string text) = 0;
  virtual boost::asio::awaitable<bool> end_events() = 0;

  // Calls `on_gone` once on the executor if the client closes its side before the answer is
  // complete. Bytes that it sends meanwhile (a pipelined request) are kept; too many of them close
  // the connection.
  virtual void watch_peer(std::function<void()> on_gone) = 0;
};

// Returns when the answer is complete.
using HttpHandler = std::function<boost::asio::awaitable<void>(HttpRequest&, HttpReply&)>;

}  // namespace lockstep
