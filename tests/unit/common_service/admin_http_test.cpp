#include "common/service/http/admin_http.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <future>
#include <mutex>
#include <stdexcept>
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
  return talk(server,
              method + " " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
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

TEST(AdminHttp, AnswersHaveTheseBytes) {
  const auto server = start(routes());
  EXPECT_EQ(get(*server, "/metrics"),
            "HTTP/1.1 200 OK\r\nConnection: close\r\n"
            "Content-Type: text/plain; version=0.0.4\r\nContent-Length: 4\r\n\r\na 1\n");
  EXPECT_EQ(get(*server, "/nothing"),
            "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Type: text/plain\r\n"
            "Content-Length: 10\r\n\r\nnot found\n");
  EXPECT_EQ(get(*server, "/metrics", "POST"),
            "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\nConnection: close\r\n"
            "Content-Type: text/plain\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(talk(*server, "GET /metrics HTTP/1.0\r\n\r\n"),
            "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"
            "Content-Length: 4\r\n\r\na 1\n");
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
  routes["/do"].post = [](const AdminQuery& query, const AdminReply& reply) {
    std::string body;
    for (const auto& [name, value] : query) body += name + "=" + value + ";";
    reply([body] { return AdminResponse{200, "text/plain", body}; });
  };
  const auto server = start(routes);
  EXPECT_TRUE(get(*server, "/do", "POST").ends_with("\r\n\r\n"));
  EXPECT_TRUE(get(*server, "/do?a=1&b%20c=%26d&e", "POST").ends_with("\r\n\r\na=1;b c=&d;e=;"));
  EXPECT_TRUE(get(*server, "/do?a=1&a=2&&=", "POST").ends_with("=;a=2;"));
  const std::string refused = get(*server, "/do");
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 405")) << refused;
  EXPECT_NE(refused.find("Allow: POST\r\n"), std::string::npos);
}

TEST(AdminHttp, APathThatEndsInASlashAnswersThePathsBelowIt) {
  AdminRoutes below;
  below["/v1/things/"].get = [](const AdminQuery& query, const AdminReply& reply) {
    const auto name = query.find(kBelowPath);
    const std::string text = name == query.end() ? "none" : "<" + name->second + ">";
    reply([text] { return AdminResponse{200, "text/plain", text}; });
  };
  below["/v1/things/own"] = [] { return AdminResponse{200, "text/plain", "own"}; };
  const auto server = start(std::move(below));
  EXPECT_TRUE(get(*server, "/v1/things/a%2Fb%20c").ends_with("\r\n\r\n<a/b c>"));
  EXPECT_TRUE(get(*server, "/v1/things/a?=b&x=1").ends_with("\r\n\r\n<a>"));
  EXPECT_TRUE(get(*server, "/v1/things/?=b").ends_with("\r\n\r\nnone"));
  EXPECT_TRUE(get(*server, "/v1/things/own").ends_with("\r\n\r\nown"));
  for (const char* path : {"/v1/things", "/v1/things/a/b", "/v1/other/a", "/v1/", "/"})
    EXPECT_TRUE(get(*server, path).starts_with("HTTP/1.1 404")) << path;
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

// Verbs whose answers come only when the test says so.
class HeldVerbs {
 public:
  void add_to(AdminRoutes& routes, const std::string& path) {
    routes[path].get = [this](const AdminQuery&, AdminReply reply) {
      std::lock_guard lock(mutex_);
      replies_.push_back(std::move(reply));
    };
  }
  std::vector<AdminReply> wait(size_t n) {
    for (;;) {
      std::lock_guard lock(mutex_);
      if (replies_.size() >= n) return std::exchange(replies_, {});
    }
  }

 private:
  std::mutex mutex_;
  std::vector<AdminReply> replies_;  // guarded by mutex_
};

AdminRoutes good_health() {
  return health_routes(
      {.live = [] { return true; }, .ready = [] { return true; }, .started = [] { return true; }});
}

void expect_healthy(const AdminHttp& server) {
  for (const char* path : {"/livez", "/readyz", "/startupz", "/health"}) {
    EXPECT_TRUE(get(server, path).starts_with("HTTP/1.1 200")) << path;
  }
}

TEST(AdminHttp, ProbesAreAnsweredWhileEveryVerbWaits) {
  AdminRoutes all = good_health();
  HeldVerbs verbs;
  for (const char* path : {"/v1/slots", "/v1/cache", "/metrics"}) verbs.add_to(all, path);
  all["/quick"] = [] { return AdminResponse{200, "text/plain", "quick"}; };
  const auto server = start(all);
  std::vector<std::thread> askers;
  std::atomic<int> n_answered{0};
  for (int i = 0; i < 12; ++i) {
    askers.emplace_back([&, path = i % 3 == 0   ? "/v1/slots"
                                   : i % 3 == 1 ? "/v1/cache"
                                                : "/metrics"] {
      n_answered += get(*server, path).ends_with("at last") ? 1 : 0;
    });
  }
  const std::vector<AdminReply> replies = verbs.wait(12);
  expect_healthy(*server);
  EXPECT_TRUE(get(*server, "/quick").ends_with("quick")) << "no verb holds up another";
  EXPECT_EQ(n_answered, 0);
  for (const AdminReply& reply : replies) {
    reply([] { return AdminResponse{200, "text/plain", "at last"}; });
    reply([] { return AdminResponse{200, "text/plain", "the second of a request is nothing"}; });
  }
  for (std::thread& asker : askers) asker.join();
  EXPECT_EQ(n_answered, 12);
}

TEST(AdminHttp, ProbesAreAnsweredWhileTheThreadOfTheVerbsHangs) {
  AdminRoutes all = good_health();
  std::promise<void> entered, release;
  all["/hangs"] = [&] {
    entered.set_value();
    release.get_future().wait();
    return AdminResponse{200, "text/plain", "done"};
  };
  all["/late"] = [] { return AdminResponse(); };
  all["/late"].timeout = std::chrono::milliseconds{20};
  const auto server = start(all);
  std::thread asker([&] { EXPECT_TRUE(get(*server, "/hangs").ends_with("done")); });
  entered.get_future().wait();
  expect_healthy(*server);
  EXPECT_TRUE(get(*server, "/late").starts_with("HTTP/1.1 504"));
  release.set_value();
  asker.join();
}

TEST(AdminHttp, AVerbWhoseTimeIsUpHasItsLateAnswer) {
  AdminRoutes all;
  HeldVerbs verbs;
  for (const char* path : {"/late", "/never"}) {
    verbs.add_to(all, path);
    all[path].timeout = std::chrono::milliseconds{20};
  }
  all["/late"].late = [] { return AdminResponse{200, "text/plain", "that of before"}; };
  const auto server = start(all);
  EXPECT_TRUE(get(*server, "/late").ends_with("that of before"));
  const std::string answer = get(*server, "/never");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 504")) << answer;
  EXPECT_NE(answer.find("no answer within 20 ms"), std::string::npos) << answer;
  for (const AdminReply& reply : verbs.wait(2)) reply([] { return AdminResponse(); });
  EXPECT_TRUE(get(*server, "/late").ends_with("that of before")) << "and nothing is mixed up";
}

TEST(AdminHttp, AReplyMayComeWhenTheServerIsGone) {
  AdminRoutes all;
  HeldVerbs verbs;
  verbs.add_to(all, "/held");
  auto server = start(all);
  std::thread asker([&] { EXPECT_EQ(get(*server, "/held"), ""); });
  const std::vector<AdminReply> replies = verbs.wait(1);
  const HostPort address = server->address();
  server.reset();
  asker.join();
  replies[0]([] { return AdminResponse(); });
  EXPECT_NE(address.port, 0);
}

TEST(AdminHttp, APageThatThrowsIs500AndTheServerGoesOn) {
  AdminRoutes all = good_health();
  all["/throws"] = []() -> AdminResponse { throw std::runtime_error("\"no\" page"); };
  all["/throws-early"].get = [](const AdminQuery&, const AdminReply&) {
    throw std::runtime_error("before its reply");
  };
  all["/probe"].probe = []() -> bool { throw std::runtime_error("no probe"); };
  const auto server = start(all);
  for (const char* path : {"/throws", "/throws-early"}) {
    const std::string answer = get(*server, path);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 500")) << answer;
    EXPECT_NE(answer.find("{\"error\":{\"code\":\"internal\""), std::string::npos) << answer;
  }
  EXPECT_TRUE(get(*server, "/probe").starts_with("HTTP/1.1 503"));
  expect_healthy(*server);
}

TEST(AdminHttp, ProbesFindRoomBesideSilentConnectionsAndVerbsThatWait) {
  AdminRoutes all = good_health();
  HeldVerbs verbs;
  verbs.add_to(all, "/held");
  const auto server = start(all);
  std::vector<std::thread> askers;
  std::atomic<int> n_refused{0}, n_answered{0};
  for (int i = 0; i < 40; ++i) {
    askers.emplace_back([&] {
      const std::string answer = get(*server, "/held");
      n_refused += answer.starts_with("HTTP/1.1 429") ? 1 : 0;
      n_answered += answer.starts_with("HTTP/1.1 200") ? 1 : 0;
    });
  }
  const std::vector<AdminReply> replies = verbs.wait(32);  // the others are refused
  while (n_refused < 8) std::this_thread::yield();
  boost::asio::io_context io;
  std::vector<tcp::socket> silent;
  for (int i = 0; i < 100; ++i) {
    silent.emplace_back(io).connect(
        {boost::asio::ip::make_address("127.0.0.1"), server->address().port});
    if (i % 20 == 0) expect_healthy(*server);
  }
  expect_healthy(*server);
  for (const AdminReply& reply : replies) reply([] { return AdminResponse(); });
  for (std::thread& asker : askers) asker.join();
  EXPECT_EQ(n_answered, 32) << "a verb that waits never loses its connection";
  EXPECT_EQ(n_refused, 8);
}

// A page whose name its owner points at 127.0.0.1, and a form that a page sends there.
TEST(AdminHttp, WhatAPageOfAnotherSiteCanSendIsRefused) {
  AdminRoutes all = routes();
  bool done = false;
  all["/do"].post = [&](const AdminQuery&, const AdminReply& reply) {
    done = true;
    reply([] { return AdminResponse(); });
  };
  const auto server = start(all);
  const auto send = [&](const std::string& line, const std::string& headers) {
    return talk(*server, line + " HTTP/1.1\r\nConnection: close\r\n" + headers + "\r\n")
        .substr(9, 3);
  };
  EXPECT_EQ(send("GET /metrics", "Host: evil.example\r\n"), "403");
  EXPECT_EQ(send("GET /metrics", "Host: localhost\r\nHost: evil.example\r\n"), "400");
  EXPECT_EQ(send("POST /do", "Host: evil.example:80\r\n"), "403");
  EXPECT_EQ(send("POST /do", "Host: localhost\r\nOrigin: http://evil.example\r\n"), "403");
  EXPECT_EQ(send("POST /do", "Host: localhost\r\nOrigin: null\r\n"), "403");
  EXPECT_EQ(send("POST /do", "Host: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"), "415");
  EXPECT_FALSE(done);
  EXPECT_EQ(send("GET /metrics", "Host: [::1]:9\r\nOrigin: http://evil.example\r\n"), "200");
  EXPECT_EQ(send("POST /do", "Host: 127.0.0.1\r\nOrigin: http://127.0.0.1:7\r\n"), "200");
  EXPECT_TRUE(done);
  EXPECT_EQ(send("GET /metrics", ""), "200") << "no browser leaves the Host out";
}

TEST(AdminHttp, InsecureAnswersUnderEveryHost) {
  const auto started = AdminHttp::start({"127.0.0.1", 0}, routes(), /*insecure=*/true);
  ASSERT_TRUE(started);
  const AdminHttp& server = **started;
  EXPECT_TRUE(
      talk(server, "GET /metrics HTTP/1.1\r\nHost: 10.1.2.3:9090\r\nConnection: close\r\n\r\n")
          .starts_with("HTTP/1.1 200"));
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
