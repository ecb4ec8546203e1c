#include "common/service/http/response_head.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

HttpResponse ok() {
  HttpResponse response;
  response.content_type = "text/plain";
  response.body = "abc";
  return response;
}

TEST(ResponseHead, HasTheStatusItsReasonTheTypeAndTheLength) {
  EXPECT_EQ(response_head(ok(), {}),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\n");
  HttpResponse empty;
  empty.status = 405;
  EXPECT_EQ(response_head(empty, {}),
            "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: application/json\r\n"
            "Content-Length: 0\r\n\r\n");
}

TEST(ResponseHead, HeadersStandInTheirOrder) {
  HttpResponse response = ok();
  response.first_headers = {{"Server", "s"}, {"X-Request-Id", "r"}};
  response.headers = {{"Retry-After", "1"}, {"Allow", "POST"}};
  EXPECT_EQ(
      response_head(response, {.keep_alive = false}),
      "HTTP/1.1 200 OK\r\nServer: s\r\nX-Request-Id: r\r\nConnection: close\r\n"
      "Content-Type: text/plain\r\nRetry-After: 1\r\nAllow: POST\r\nContent-Length: 3\r\n\r\n");
}

TEST(ResponseHead, OnlyWhatTheVersionDoesNotImplyIsSaidOfTheConnection) {
  const auto connection = [](bool is_http_11, bool keep_alive) {
    const std::string head =
        response_head(ok(), {.is_http_11 = is_http_11, .keep_alive = keep_alive});
    const size_t found = head.find("Connection: ");
    return found == head.npos ? "" : head.substr(found + 12, head.find('\r', found) - found - 12);
  };
  EXPECT_EQ(connection(true, true), "");
  EXPECT_EQ(connection(true, false), "close");
  EXPECT_EQ(connection(false, true), "keep-alive");
  EXPECT_EQ(connection(false, false), "");
}

TEST(ResponseHead, AStreamHasNoLength) {
  EXPECT_EQ(response_head(ok(), {.body_end = BodyEnd::kChunked}),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(
      response_head(
          ok(), {.is_http_11 = false, .keep_alive = false, .body_end = BodyEnd::kConnectionClosed}),
      "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n");
}

TEST(ResponseHead, AChunkBeginsWithItsSizeInHexadecimal) {
  EXPECT_EQ(chunk_begin(1), "1\r\n");
  EXPECT_EQ(chunk_begin(0xabcdef), "abcdef\r\n");
  EXPECT_EQ(chunk_begin(SIZE_MAX), "ffffffffffffffff\r\n");
}

}  // namespace
}  // namespace lockstep
