// HTTP as plain values: a request that was read completely, a response, and the limits of both.
// Knows neither Asio nor sockets.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/memory/byte_budget.h"

namespace lockstep {

struct HttpRequest {
  std::string method;      // "GET" also for HEAD: the session omits the body of the response
  std::string path;        // still percent-encoded, without the query
  std::string query;       // what follows the first '?', still percent-encoded
  std::string body;        // at most HttpLimits::body_bytes
  std::string request_id;  // the client's X-Request-Id if short and printable, or the port's
  // The headers X-Resume-Token and Last-Event-ID; empty = absent.
  std::string resume_token, last_event_id;
  // The headers X-Session-ID and X-Route-Receipt; empty = absent.
  std::string session_id, route_receipt;
  ByteHold body_hold;  // the body's share of the budget for bytes in flight

  // Frees the body early. A long-running handler calls this once it has parsed the body.
  void drop_body() {
    body = std::string();
    body_hold = ByteHold();
  }
};

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpResponse {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  HttpHeaders headers;        // after Content-Type
  HttpHeaders first_headers;  // before Connection and Content-Type
};

// HttpLimits: the bytes and the time that one connection may take.
struct HttpLimits {
  size_t body_bytes = 16u << 20;
  uint32_t header_bytes = 16u << 10;
  // Bytes that were received and not parsed: of a chunk's line, or of pipelined requests.
  size_t unparsed_bytes = 256u << 10;
  // From the first byte of a request to its last header, and on a new connection to the first byte.
  std::chrono::milliseconds header_timeout{10'000};
  std::chrono::milliseconds body_timeout{60'000};  // from the last header to the end of the body
  std::chrono::milliseconds idle_timeout{75'000};  // between two requests of a connection
  // From the previous response, or the start of the connection, to the last byte of the request;
  // nullopt = only the limits above.
  std::optional<std::chrono::milliseconds> request_timeout = std::nullopt;
  // A client that reads nothing for this long is disconnected.
  std::chrono::milliseconds write_timeout{30'000};
};

}  // namespace lockstep
