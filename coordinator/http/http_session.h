// HttpSession: owns one HTTP/1.1 connection. It reads requests one after the other, within limits
// of size and time, and passes each to the handler. It answers a request that cannot be read with
// an error body. All of it runs on the connection's strand. Of the coordinator's files, only
// http_session.cpp includes Beast.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>

#include "coordinator/http/http_config.h"
#include "coordinator/http/http_message.h"
#include "coordinator/http/id_generator.h"
#include "coordinator/probes.h"

namespace lockstep {

// HttpContext: what all sessions of a server share. It must outlive the sessions.
struct HttpContext {
  HttpLimits limits;
  HttpHandler handler;
  IdGenerator& ids;
  CoordinatorProbes& probes;
  std::function<bool()> draining;     // true: close after the present response
  std::shared_ptr<ByteBudget> bytes;  // budget for bodies, also half-read ones; null = no limit
  bool is_guarded = false;            // refuse Host and Origin names other than loopback's
};

class HttpSession {
 public:
  virtual ~HttpSession() = default;
  // Serves the connection until it ends, then calls `on_end`. The session keeps itself alive
  // meanwhile.
  virtual void start(std::function<void()> on_end) = 0;
  // Closes the connection if no request is being read or answered. Any thread.
  virtual void close_if_idle() = 0;
};

std::shared_ptr<HttpSession> make_http_session(boost::asio::ip::tcp::socket socket,
                                               const HttpContext& context);

}  // namespace lockstep
