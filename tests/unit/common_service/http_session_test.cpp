// One HTTP session on a port of its own: what a port's settings change, and limits that the two
// real ports set too high for a test.
#include "common/service/http/http_session.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <thread>
#include <vector>

#include "tests/support/http_client.h"

namespace lockstep {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using testing::HttpAnswer;
using testing::HttpClient;
using namespace std::chrono_literals;

asio::awaitable<void> echo(HttpRequest& request, HttpReply& reply) {
  HttpResponse response;
  response.content_type = "text/plain";
  response.body = request.method + "|" + request.path + "|" + request.query + "|" + request.body;
  co_await reply.send(std::move(response));
}

HttpPort echo_port(bool answers_early) {
  HttpPort port;
  port.limits.body_bytes = 1000;
  port.limits.header_bytes = 2000;
  port.limits.unparsed_bytes = 4000;
  port.handler = echo;
  port.error_response = [](const Error& error) {
    HttpResponse response;
    response.status = http_status(error.code);
    response.body = error.message;
    return response;
  };
  port.answers_early = answers_early;
  return port;
}

class Server {
 public:
  explicit Server(HttpPort port) : port_(std::move(port)) {
    accept();
    thread_ = std::thread([this] { io_.run(); });
  }
  ~Server() {
    io_.stop();
    thread_.join();
  }
  uint16_t port() const { return acceptor_.local_endpoint().port(); }
  void wait_ended(int n_connections) const {
    while (n_ended_ < n_connections) std::this_thread::sleep_for(1ms);
  }

 private:
  void accept() {
    acceptor_.async_accept([this](boost::system::error_code error, tcp::socket socket) {
      if (error) return;
      std::make_shared<HttpSession>(std::move(socket), port_)->start([this] { ++n_ended_; });
      accept();
    });
  }

  const HttpPort port_;
  std::atomic<int> n_ended_{0};
  asio::io_context io_{1};
  tcp::acceptor acceptor_{io_, {asio::ip::make_address("127.0.0.1"), 0}};
  std::thread thread_;
};

const std::string kJson = "Content-Type: application/json\r\n";

TEST(HttpSession, TheHandlerGetsTheWholeRequest) {
  const Server server(echo_port(true));
  HttpClient client(server.port());
  EXPECT_EQ(client.post_and_read("/a%20b?x=1&y?", "{}").body, "POST|/a%20b|x=1&y?|{}");
  EXPECT_EQ(client.get("/").body, "GET|/||");
  EXPECT_EQ(client.get("/?").body, "GET|/||");
  client.send("POST / HTTP/1.1\r\n" + kJson + "Transfer-Encoding: chunked\r\n\r\n" +
              "2\r\nab\r\n3;ext=1\r\ncde\r\n0\r\nTrailer: x\r\n\r\n");
  EXPECT_EQ(client.read_answer().body, "POST|/||abcde");
  client.request("HEAD", "/x");
  EXPECT_EQ(client.read_answer(false).headers.at("content-length"), "8");
  EXPECT_EQ(client.get("/y").body, "GET|/y||") << "the connection is still in step";
}

TEST(HttpSession, RequestsThatArriveTogetherAreAnsweredInOrder) {
  for (const bool answers_early : {true, false}) {
    const Server server(echo_port(answers_early));
    HttpClient client(server.port());
    const std::string post = "POST /p HTTP/1.1\r\n" + kJson + "Content-Length: 2\r\n\r\n{}";
    client.send("GET /1 HTTP/1.1\r\n\r\n" + post + "GET /2 HTTP/1.1\r\n\r\nGET /3 HT");
    EXPECT_EQ(client.read_answer().body, "GET|/1||");
    EXPECT_EQ(client.read_answer().body, "POST|/p||{}");
    EXPECT_EQ(client.read_answer().body, "GET|/2||");
    client.send("TP/1.1\r\n\r\n");
    EXPECT_EQ(client.read_answer().body, "GET|/3||");
  }
}

TEST(HttpSession, BytesThatArriveOneByOneAreARequest) {
  const Server server(echo_port(true));
  HttpClient client(server.port());
  for (const char byte : "POST /p HTTP/1.1\r\n" + kJson + "Content-Length: 2\r\n\r\n{}") {
    client.send({&byte, 1});
  }
  EXPECT_EQ(client.read_answer().body, "POST|/p||{}");
}

// What no session can read, and the status that a port gives for it if it answers early.
const std::vector<std::pair<std::string, int>>& unreadable() {
  static const std::string post = "POST / HTTP/1.1\r\n" + kJson;
  static const std::vector<std::pair<std::string, int>> all = {
      {"GARBAGE\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nX: " + std::string(3000, 'x') + "\r\n\r\n", 400},
      {post + "Content-Length: 1001\r\n\r\n", 413},
      {post + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400},
      {post + "Transfer-Encoding: chunked\r\n\r\n1;x=" + std::string(5000, 'x'), 400},
      {post + "Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + std::string(5000, 'x'), 400}};
  return all;
}

TEST(HttpSession, APortThatAnswersEarlySaysWhyAndCloses) {
  const Server server(echo_port(true));
  for (const auto& [bytes, status] : unreadable()) {
    HttpClient client(server.port());
    client.send(bytes);
    const HttpAnswer answer = client.read_answer();
    EXPECT_EQ(answer.status, status) << bytes.substr(0, 80);
    EXPECT_EQ(answer.headers.at("connection"), "close");
    EXPECT_TRUE(client.at_end());
  }
}

TEST(HttpSession, APortThatDoesNotAnswerEarlyClosesInSilence) {
  const Server server(echo_port(false));
  for (const auto& [bytes, status] : unreadable()) {
    HttpClient client(server.port());
    client.send(bytes);
    EXPECT_EQ(client.read_to_end(), "") << bytes.substr(0, 80);
  }
}

TEST(HttpSession, APortThatDoesNotAnswerEarlyRefusesBehindTheBodyAndGoesOn) {
  HttpPort port = echo_port(false);
  port.is_guarded = true;
  const Server server(port);
  HttpClient client(server.port());
  client.send("POST / HTTP/1.1\r\nHost: evil.example\r\n" + kJson +
              "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_TRUE(client.is_silent(100ms));
  client.send("{}");
  EXPECT_EQ(client.read_answer().status, 403);
  EXPECT_EQ(client.get("/").status, 200);
}

TEST(HttpSession, ABodyThatTheBudgetHasNoRoomForIs429) {
  HttpPort port = echo_port(true);
  port.bytes = std::make_shared<ByteBudget>(100);
  const Server server(port);
  HttpClient small(server.port()), large(server.port());
  EXPECT_EQ(small.post_and_read("/", std::string(100, '1')).status, 200);
  EXPECT_EQ(large.post_and_read("/", std::string(101, '1')).status, 429);
  EXPECT_EQ(small.post_and_read("/", std::string(100, '1')).status, 200);
}

TEST(HttpSession, TheTimeOfAWholeRequestEndsItWhateverArrives) {
  HttpPort port = echo_port(true);
  port.limits.request_timeout = 300ms;
  const Server server(port);
  HttpClient silent(server.port()), slow(server.port()), second(server.port());
  EXPECT_EQ(second.get("/").status, 200);
  std::thread drip([&] {
    while (slow.send("G")) std::this_thread::sleep_for(20ms);
  });
  EXPECT_TRUE(silent.at_end());
  EXPECT_TRUE(second.at_end());
  drip.join();
  server.wait_ended(3);
}

asio::awaitable<void> stream(HttpRequest&, HttpReply& reply) {
  HttpHeaders headers = {{"X-Seed", "7"}};
  co_await reply.begin_events(std::move(headers));
  for (const char* text : {"one", "", "two"}) {
    std::string event = text;
    co_await reply.send_events(std::move(event));
  }
  co_await reply.end_events();
}

TEST(HttpSession, AStreamIsChunkedOrEndsWithTheConnection) {
  HttpPort port = echo_port(true);
  port.handler = stream;
  std::atomic<int> n_responses{0};
  port.on_response = [&](HttpResponse& response, const std::string&) {
    ++n_responses;
    response.first_headers = {{"Server", "test"}};
  };
  const Server server(port);
  const std::string head = " 200 OK\r\nServer: test\r\n";
  const std::string type =
      "Content-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
      "X-Accel-Buffering: no\r\nX-Seed: 7\r\n";
  HttpClient client(server.port()), old(server.port());
  client.send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(client.read_to_end(), "HTTP/1.1" + head + "Connection: close\r\n" + type +
                                      "Transfer-Encoding: chunked\r\n\r\n" +
                                      "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
  old.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(old.read_to_end(), "HTTP/1.0" + head + type + "\r\nonetwo");
  EXPECT_EQ(n_responses, 2);
}

// The kernel's buffers hold some megabytes; the handler waits for the client with the rest.
TEST(HttpSession, AHandlerWaitsForItsReaderUntilTheTimeIsUp) {
  HttpPort port = echo_port(true);
  port.limits.write_timeout = 200ms;
  std::atomic<size_t> n_sent{0};
  port.handler = [&](HttpRequest&, HttpReply& reply) -> asio::awaitable<void> {
    HttpHeaders none;
    bool is_open = co_await reply.begin_events(std::move(none));
    while (is_open) {
      std::string text(1 << 20, 'x');
      is_open = co_await reply.send_events(std::move(text));
      n_sent += 1 << 20;
    }
  };
  const Server server(port);
  HttpClient client(server.port());
  client.request("GET", "/");
  server.wait_ended(1);
  EXPECT_LT(n_sent, size_t{256} << 20);
}

TEST(HttpSession, AHandlerThatWaitsIsCalledWhenItsClientIsGone) {
  HttpPort port = echo_port(true);
  std::atomic<bool> is_gone{false};
  port.handler = [&](HttpRequest&, HttpReply& reply) -> asio::awaitable<void> {
    std::function<void()> on_gone = [&] { is_gone = true; };
    reply.watch_client(std::move(on_gone));
    HttpHeaders none;
    co_await reply.begin_events(std::move(none));
    asio::steady_timer timer(reply.executor());
    while (!is_gone) {
      timer.expires_after(1ms);
      co_await timer.async_wait(asio::use_awaitable);
    }
    std::string text = "unread";
    const bool was_sent = co_await reply.send_events(std::move(text));
    EXPECT_FALSE(was_sent);
  };
  const Server server(port);
  {
    HttpClient client(server.port());
    client.request("GET", "/");
    EXPECT_EQ(client.read_head().status, 200);
    client.send("GET /next HTTP/1.1\r\n");
    EXPECT_TRUE(client.is_silent(50ms));
    EXPECT_FALSE(is_gone) << "these bytes are the next request";
  }
  server.wait_ended(1);
}

// What on_gone captures may be gone with the handler.
TEST(HttpSession, AClientThatLeavesAfterItsAnswerIsNotReportedToTheHandler) {
  HttpPort port = echo_port(true);
  std::atomic<int> n_gone{0};
  port.handler = [&](HttpRequest& request, HttpReply& reply) -> asio::awaitable<void> {
    std::function<void()> on_gone = [&] { ++n_gone; };
    reply.watch_client(std::move(on_gone));
    co_await echo(request, reply);
  };
  const Server server(port);
  {
    HttpClient client(server.port());
    EXPECT_EQ(client.get("/1").body, "GET|/1||");
    EXPECT_EQ(client.get("/2").body, "GET|/2||");
  }
  server.wait_ended(1);
  EXPECT_EQ(n_gone, 0);
}

TEST(HttpSession, ADrainThatBeginsWhileARequestIsReadEndsTheConnectionAfterItsAnswer) {
  HttpPort port = echo_port(true);
  std::atomic<int> n_asked{0};
  port.draining = [&] { return n_asked++ > 0; };
  const Server server(port);
  HttpClient client(server.port());
  const HttpAnswer answer = client.get("/");
  EXPECT_EQ(answer.body, "GET|/||");
  EXPECT_EQ(answer.headers.at("connection"), "close");
  EXPECT_TRUE(client.at_end());
}

}  // namespace
}  // namespace lockstep
