#include "common/service/admin_http.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <thread>
#include <vector>

namespace lockstep {
namespace {

using boost::asio::ip::tcp;

std::unique_ptr<AdminHttp> start(AdminRoutes routes) {
  auto server = AdminHttp::start({"127.0.0.1", 0}, std::move(routes));
  EXPECT_TRUE(server);
  return std::move(*server);
}

// Sends the bytes as they are and returns everything until the server closes.
std::string talk(const AdminHttp& server, const std::string& bytes) {
  boost::asio::io_context io;
  tcp::socket socket(io);
  socket.connect({boost::asio::ip::make_address("127.0.0.1"), server.address().port});
  boost::system::error_code error;
  boost::asio::write(socket, boost::asio::buffer(bytes), error);
  std::string answer;
  boost::asio::read(socket, boost::asio::dynamic_buffer(answer), error);
  return answer;
}

std::string get(const AdminHttp& server, const std::string& path,
                const std::string& method = "GET") {
  return talk(server, method + " " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
}

AdminRoutes routes() {
  AdminRoutes routes;
  routes["/metrics"] = [] { return AdminResponse{200, "text/plain; version=0.0.4", "a 1\n"}; };
  return routes;
}

TEST(AdminHttp, RoutesAnswerOnAFreePort) {
  const auto server = start(routes());
  EXPECT_NE(server->address().port, 0);
  const std::string answer = get(*server, "/metrics");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200")) << answer;
  EXPECT_NE(answer.find("Content-Type: text/plain; version=0.0.4"), std::string::npos);
  EXPECT_TRUE(answer.ends_with("\r\n\r\na 1\n")) << answer;
  EXPECT_TRUE(get(*server, "/metrics?x=1").starts_with("HTTP/1.1 200"));
}

TEST(AdminHttp, HeadHasTheLengthWithoutTheBody) {
  const auto server = start(routes());
  const std::string answer = get(*server, "/metrics", "HEAD");
  EXPECT_NE(answer.find("Content-Length: 4"), std::string::npos) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
}

TEST(AdminHttp, OtherPathsAndMethodsAreRefused) {
  const auto server = start(routes());
  EXPECT_TRUE(get(*server, "/nothing").starts_with("HTTP/1.1 404"));
  const std::string answer = get(*server, "/metrics", "POST");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 405")) << answer;
  EXPECT_NE(answer.find("Allow: GET, HEAD"), std::string::npos);
}

TEST(AdminHttp, APostReadsItsQueryAndAGetDoesNotStartIt) {
  AdminRoutes routes;
  routes["/do"].post = [](const AdminQuery& query) {
    std::string body;
    for (const auto& [name, value] : query) body += name + "=" + value + ";";
    return AdminResponse{200, "text/plain", body};
  };
  const auto server = start(routes);
  EXPECT_TRUE(get(*server, "/do", "POST").ends_with("\r\n\r\n"));
  EXPECT_TRUE(get(*server, "/do?a=1&b%20c=%26d&e", "POST").ends_with("\r\n\r\na=1;b c=&d;e=;"));
  EXPECT_TRUE(get(*server, "/do?a=1&a=2&&=", "POST").ends_with("=;a=2;"));
  const std::string refused = get(*server, "/do");
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 405")) << refused;
  EXPECT_NE(refused.find("Allow: POST\r\n"), std::string::npos);
}

TEST(AdminHttp, ProbesFollowWhatTheyWatch) {
  std::atomic<bool> ready{false};
  const auto server = start(health_routes({.live = [] { return true; },
                                           .ready = [&] { return ready.load(); },
                                           .started = [] { return false; }}));
  EXPECT_TRUE(get(*server, "/livez").starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(get(*server, "/startupz").starts_with("HTTP/1.1 503"));
  EXPECT_TRUE(get(*server, "/readyz").starts_with("HTTP/1.1 503"));
  EXPECT_TRUE(get(*server, "/health").starts_with("HTTP/1.1 503"));
  ready = true;
  EXPECT_TRUE(get(*server, "/readyz").starts_with("HTTP/1.1 200"));
}

TEST(AdminHttp, HostileBytesCostOnlyTheirConnection) {
  const auto server = start(routes());
  talk(*server, "\x16\x03\x01\x02 not http\r\n\r\n");
  talk(*server, "GET /metrics HTTP/1.1\r\nX: " + std::string(20000, 'a') + "\r\n\r\n");
  talk(*server, "POST /metrics HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n");
  EXPECT_TRUE(get(*server, "/metrics").starts_with("HTTP/1.1 200"));
}

TEST(AdminHttp, SilentConnectionsDoNotHoldUpOthers) {
  const auto server = start(routes());
  boost::asio::io_context io;
  std::vector<tcp::socket> silent;
  for (int i = 0; i < 20; ++i) {
    silent.emplace_back(io).connect(
        {boost::asio::ip::make_address("127.0.0.1"), server->address().port});
  }
  EXPECT_TRUE(get(*server, "/metrics").starts_with("HTTP/1.1 200"));
}

TEST(AdminHttp, ManyScrapersAtOnceAreServed) {
  const auto server = start(routes());
  std::atomic<int> n_good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) n_good += get(*server, "/metrics").ends_with("a 1\n") ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(n_good, 80);
}

TEST(AdminHttp, ABusyPortAndANonsenseHostAreErrors) {
  const auto first = start(routes());
  const auto second = AdminHttp::start(first->address(), routes());
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("in use"), std::string::npos) << second.error().message;
  EXPECT_NE(second.error().message.find(to_string(first->address())), std::string::npos);
  EXPECT_FALSE(AdminHttp::start({"256.1.1.1", 0}, routes()));
}

}  // namespace
}  // namespace lockstep
