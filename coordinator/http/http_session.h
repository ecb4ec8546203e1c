// HttpSession: one HTTP/1.1 connection. Reads requests within limits of size and time, one after
// the other, gives each to the handler, and answers what it cannot read with an error body. All on
// the connection's strand. The only file pair that includes Beast.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>

#include "coordinator/http/http_config.h"
#include "coordinator/http/http_message.h"
#include "coordinator/http/id_generator.h"
#include "coordinator/probes.h"

namespace lockstep {

// What a session needs; outlives it.
struct HttpContext {
  HttpLimits limits;
  HttpHandler handler;
  IdGenerator& ids;
  CoordinatorProbes& probes;
  std::function<bool()> draining;     // true: answer what is running, then close
  std::shared_ptr<ByteBudget> bytes;  // of bodies, those half read included; null: no limit
  bool is_guarded = false;            // other names than loopback's are refused
};

class HttpSession {
 public:
  virtual ~HttpSession() = default;
  // Runs until the connection ends; it keeps itself alive meanwhile, then calls `on_end`.
  virtual void start(std::function<void()> on_end) = 0;
  // Any thread: closes the connection if no request is being read or answered.
  virtual void close_if_idle() = 0;
};

std::shared_ptr<HttpSession> make_http_session(boost::asio::ip::tcp::socket socket,
                                               const HttpContext& context);

}  // namespace lockstep
