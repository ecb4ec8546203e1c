// Any bytes on a connection are answered with whole HTTP responses, or not at all, and end the
// session: requests with limits as on both ports, of one that answers early and one that does not.
// What the handler gets is within the limits.
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include "common/check.h"
#include "common/error_code.h"
#include "common/service/http/http_session.h"
#include "common/service/http/url.h"
#include "tests/fuzz/target.h"

namespace lockstep::testing {

std::vector<std::string> fuzz_seeds() {
  const std::string json = "Content-Type: application/json\r\n";
  return {
      "GET /v1/models?a=%41&b HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:80\r\n" + json +
          "X-Request-Id: r-1\r\nX-Resume-Token: t\r\nLast-Event-ID: 0:1\r\n"
          "Content-Length: 13\r\n\r\n{\"model\":\"m\"}HEAD / HTTP/1.0\r\n\r\n",
      "POST / HTTP/1.1\r\n" + json +
          "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n3;ext=1\r\n   \r\n0\r\nTrailer: x\r\n\r\n",
      "POST / HTTP/1.1\r\nExpect: 100-continue\r\nOrigin: http://evil\r\nContent-Length: 2\r\n\r\n",
      "PUT /%zz%2 HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
      "GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 9\r\n\r\n",
      // One byte more than a body may have, in both ways.
      "POST / HTTP/1.1\r\n" + json + "Content-Length: 1001\r\n\r\n" + std::string(1001, 'x'),
      "POST / HTTP/1.1\r\n" + json + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n" +
          std::string(1001, 'x') + "\r\n0\r\n\r\n",
  };
}

}  // namespace lockstep::testing

namespace lockstep {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr size_t kMaxInput = 8192;  // its answers fit the socket's buffers
constexpr size_t kMaxBody = 1000, kMaxHeaders = 2000;

asio::awaitable<void> answer(HttpRequest& request, HttpReply& reply) {
  CHECK(request.body.size() <= kMaxBody);
  CHECK(request.path.size() + request.query.size() <= kMaxHeaders);
  CHECK(percent_decode(request.path).size() <= request.path.size());
  parse_query(request.query);
  HttpResponse response;
  response.body = "{}";
  co_await reply.send(std::move(response));
}

HttpPort port(bool answers_early) {
  HttpPort out;
  out.limits.body_bytes = kMaxBody;
  out.limits.header_bytes = kMaxHeaders;
  out.limits.unparsed_bytes = 4000;
  out.handler = answer;
  out.error_response = [](const Error& error) {
    CHECK(http_status(error.code) >= 400 && !error.message.empty());
    HttpResponse response;
    response.status = http_status(error.code);
    response.body = "{}";
    return response;
  };
  out.answers_early = answers_early;
  out.is_guarded = answers_early;
  return out;
}

// All bytes that the server sends to a client that sends `input` and then closes its side.
std::string exchange(std::string_view input, const HttpPort& port) {
  static asio::io_context io{1};
  static tcp::acceptor acceptor{io, {asio::ip::make_address("127.0.0.1"), 0}};
  tcp::socket client(io);
  client.connect(acceptor.local_endpoint());
  tcp::socket server = acceptor.accept();
  asio::write(client, asio::buffer(input));
  client.shutdown(tcp::socket::shutdown_send);
  bool has_ended = false;
  std::make_shared<HttpSession>(std::move(server), port)->start([&] { has_ended = true; });
  io.restart();
  while (!has_ended) CHECK(io.run_one() > 0);
  io.poll();  // what the end of the session left
  std::string output;
  boost::system::error_code error;
  asio::read(client, asio::dynamic_buffer(output), error);
  CHECK(error == asio::error::eof || error == asio::error::connection_reset);
  return output;
}

// Each response has a status line, a length and so many bytes behind its head.
void check_answers(std::string_view output) {
  while (!output.empty()) {
    CHECK(output.starts_with("HTTP/1."));
    const size_t end = output.find("\r\n\r\n");
    CHECK(end != output.npos);
    const std::string_view head = output.substr(0, end + 2);
    output.remove_prefix(end + 4);
    if (head.find(" 100 ") == 8) continue;
    CHECK(head.find("\r\nContent-Length: 2\r\n") != head.npos);
    if (output.starts_with("{}")) output.remove_prefix(2);  // an answer to HEAD has none
  }
}

}  // namespace
}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n_bytes) {
  using namespace lockstep;  // NOLINT(google-build-using-namespace)
  if (n_bytes > kMaxInput) return 0;
  static const HttpPort kEarly = port(true), kLate = port(false);
  const std::string_view input = testing::as_text(data, n_bytes);
  check_answers(exchange(input, kEarly));
  check_answers(exchange(input, kLate));
  return 0;
}
