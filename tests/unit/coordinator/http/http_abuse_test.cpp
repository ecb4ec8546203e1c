// Clients that violate the protocol: the errors that they get, and that other clients are not
// affected.
#include <gtest/gtest.h>

#include "coordinator/http/http_server.h"
#include "tests/support/coordinator_harness.h"

namespace lockstep {
namespace {

using nlohmann::json;
using testing::CoordinatorHarness;
using testing::FakeNode;
using testing::HttpAnswer;
using testing::HttpClient;

class HttpAbuse : public ::testing::Test {
 protected:
  static CoordinatorConfig config() {
    CoordinatorConfig config;
    config.max_body_bytes = 1 << 20;
    config.header_timeout_ms = 200;
    config.body_timeout_ms = 300;
    return config;
  }
  // Sends raw bytes. The answer must be an error of this status and code, then the end of the
  // connection.
  void expect_refused(const std::string& bytes, int status, const std::string& code) {
    HttpClient client(coordinator_.port());
    client.send(bytes);
    const HttpAnswer answer = client.read_answer();
    EXPECT_EQ(answer.status, status) << bytes.substr(0, 60);
    if (answer.status == 0) return;
    EXPECT_EQ(json::parse(answer.body)["error"]["code"], code);
    EXPECT_TRUE(client.at_end());
  }
  void TearDown() override { EXPECT_EQ(coordinator_.get("/health").status, 200); }

  FakeNode node_;
  CoordinatorHarness coordinator_{{&node_}, config()};
};

TEST_F(HttpAbuse, MalformedHttpIs400) {
  expect_refused("GARBAGE\r\n\r\n", 400, "invalid_request");
  expect_refused("GET / HTTP/9.9\r\n\r\n", 400, "invalid_request");
  expect_refused("GET /health HTTP/1.1\r\nBad Header: x\r\n\r\n", 400, "invalid_request");
  expect_refused("POST /tokenize HTTP/1.1\r\nContent-Length: nine\r\n\r\n", 400, "invalid_request");
}

TEST_F(HttpAbuse, SmuggledBodiesAreRefused) {
  expect_refused(
      "POST /tokenize HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
      "invalid_request");
  expect_refused(
      "POST /tokenize HTTP/1.1\r\nTransfer-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd", 400,
      "invalid_request");
  expect_refused("POST /tokenize HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
                 400, "invalid_request");
}

TEST_F(HttpAbuse, HugeHeadersAre400) {
  expect_refused("GET /health HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n", 400,
                 "invalid_request");
}

TEST_F(HttpAbuse, AnOversizedBodyIs413EvenWhileItIsBeingSent) {
  HttpClient client(coordinator_.port());
  client.post("/v1/completions", std::string(2 << 20, ' '));
  const HttpAnswer answer = client.read_answer();
  EXPECT_EQ(answer.status, 413);
  EXPECT_EQ(json::parse(answer.body)["error"]["code"], "payload_too_large");
}

TEST_F(HttpAbuse, AnOversizedChunkedBodyIs413) {
  std::string bytes =
      "POST /v1/completions HTTP/1.1\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 32; ++i) bytes += "10000\r\n" + std::string(0x10000, ' ') + "\r\n";
  HttpClient client(coordinator_.port());
  client.send(bytes);
  EXPECT_EQ(client.read_answer().status, 413);
}

TEST_F(HttpAbuse, AHundredThousandBracketsAre400) {
  for (const char bracket : {'[', '{'}) {
    const HttpAnswer answer =
        coordinator_.post("/v1/chat/completions", std::string(100'000, bracket));
    EXPECT_EQ(answer.status, 400);
    EXPECT_EQ(json::parse(answer.body)["error"]["code"], "invalid_request");
  }
  const std::string nested =
      R"({"model":"tiny","messages":)" + std::string(50'000, '[') + std::string(50'000, ']') + "}";
  EXPECT_EQ(coordinator_.post("/v1/chat/completions", nested).status, 400);
}

TEST_F(HttpAbuse, BadRequestsLeaveTheConnectionUsable) {
  HttpClient client(coordinator_.port());
  EXPECT_EQ(client.post_and_read("/v1/completions", "{").status, 400);
  EXPECT_EQ(client.post_and_read("/v1/completions", R"({"model":"tiny"})").status, 400);
  const HttpAnswer nan =
      client.post_and_read("/v1/completions", R"({"model":"tiny","prompt":"a","temperature":NaN})");
  EXPECT_EQ(nan.status, 400);
  EXPECT_EQ(json::parse(nan.body)["error"]["param"], "temperature");
  EXPECT_EQ(client.get("/health").status, 200);
}

TEST_F(HttpAbuse, SlowHeadersEndTheConnection) {
  HttpClient client(coordinator_.port());
  client.send("GET /health HT");
  EXPECT_TRUE(client.at_end());
}

TEST_F(HttpAbuse, ASlowBodyEndsTheConnection) {
  HttpClient client(coordinator_.port());
  client.send(
      "POST /tokenize HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{");
  EXPECT_TRUE(client.at_end());
}

TEST_F(HttpAbuse, SilenceEndsTheConnection) {
  EXPECT_TRUE(HttpClient(coordinator_.port()).at_end());
}

TEST_F(HttpAbuse, PipelinedRequestsAreAnsweredInOrder) {
  HttpClient client(coordinator_.port());
  const std::string body = R"({"model":"tiny","prompt":"a","stream":true})";
  const std::string post =
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  client.send(post + "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n" + post);
  EXPECT_NE(client.read_answer().body.find("[DONE]"), std::string::npos);
  EXPECT_NE(client.read_answer().body.find("version"), std::string::npos);
  EXPECT_NE(client.read_answer().body.find("[DONE]"), std::string::npos);
}

TEST_F(HttpAbuse, BytesSentWhileWaitingAreTheNextRequest) {
  FakeNode slow(FakeNode::hang_after(1));
  CoordinatorHarness coordinator({&slow});
  HttpClient client(coordinator.port());
  client.post("/v1/completions", R"({"model":"tiny","prompt":"a","stream":true})");
  const wire::Generate request = slow.wait_request(0);
  client.send("GET /version HT");
  slow.say(wire::Done{request.request_id, "stop", {1, 0, 1}});
  EXPECT_NE(client.read_answer().body.find("[DONE]"), std::string::npos);
  client.send("TP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(client.read_answer().status, 200);
  EXPECT_EQ(slow.n_cancels(), 0u);
}

// A waiting client that sends more than the server keeps is disconnected, because unread bytes
// would hide its disconnection.
TEST_F(HttpAbuse, AFloodOfPipelinedBytesEndsTheRequest) {
  for (const char* stream : {"true", "false"}) {
    FakeNode slow(FakeNode::hang_after(1));
    CoordinatorHarness coordinator({&slow});
    HttpClient client(coordinator.port());
    client.post("/v1/completions",
                std::string(R"({"model":"tiny","prompt":"a","stream":)") + stream + "}");
    const std::string id = slow.wait_request(0).request_id;
    client.send(std::string(1 << 20, 'x'));
    EXPECT_EQ(slow.wait_cancels(1).at(0), id);
    client.read_to_end();
  }
}

TEST_F(HttpAbuse, ContinueIsSentWhenTheClientExpectsIt) {
  HttpClient client(coordinator_.port());
  client.send(
      "POST /tokenize HTTP/1.1\r\nContent-Type: application/json\r\n"
      "Expect: 100-continue\r\nContent-Length: 14\r\n\r\n");
  EXPECT_EQ(client.read_head().status, 100);
  client.send(R"({"prompt":"A"})");
  EXPECT_EQ(client.read_answer().status, 200);
}

TEST_F(HttpAbuse, Http10GetsAStreamThatEndsWithTheConnection) {
  HttpClient client(coordinator_.port());
  const std::string body = R"({"model":"tiny","prompt":"a","stream":true})";
  client.send(
      "POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body);
  const HttpAnswer answer = client.read_answer();
  EXPECT_EQ(answer.headers.count("transfer-encoding"), 0u);
  EXPECT_EQ(answer.body.substr(answer.body.size() - 14), "data: [DONE]\n\n");
}

TEST_F(HttpAbuse, ConnectionCloseIsHonoured) {
  HttpClient client(coordinator_.port());
  client.send("GET /health HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(client.read_answer().headers.at("connection"), "close");
  EXPECT_TRUE(client.at_end());
}

// A page whose host name resolves to 127.0.0.1 (DNS rebinding) could read this server's answers.
TEST_F(HttpAbuse, AHostThatIsNotLoopbackIs403AndTheConnectionEnds) {
  for (const char* host :
       {"evil.example", "evil.example:8000", "localhost.evil.example", "10.0.0.1"}) {
    const std::string head = std::string(" HTTP/1.1\r\nHost: ") + host + "\r\n";
    expect_refused("GET /v1/models" + head + "\r\n", 403, "forbidden");
    expect_refused("POST /v1/completions" + head +
                       "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
                   403, "forbidden");
  }
  for (const char* host : {"localhost", "127.0.0.1:80", "127.3.4.5", "[::1]:8000", "LocalHost:1"}) {
    HttpClient client(coordinator_.port());
    client.send(std::string("GET /version HTTP/1.1\r\nHost: ") + host + "\r\n\r\n");
    EXPECT_EQ(client.read_answer().status, 200) << host;
  }
}

// A page can send these requests to another site without a preflight request: a POST of plain text,
// of a form or without a type, with the page's own origin.
TEST_F(HttpAbuse, WhatAPageOfAnotherSiteCanPostIsRefusedBeforeItsBody) {
  const std::string post = "POST /tokenize HTTP/1.1\r\nHost: localhost\r\n";
  for (const char* type : {"Content-Type: text/plain\r\n", "Content-Type: application/jsonx\r\n",
                           "Content-Type: application/x-www-form-urlencoded\r\n", ""}) {
    expect_refused(post + type + "Content-Length: 14\r\n\r\n", 415, "unsupported_media_type");
  }
  expect_refused(post + "Transfer-Encoding: chunked\r\n\r\n", 415, "unsupported_media_type");
  const std::string json_type = "Content-Type: Application/JSON ; charset=utf-8\r\n";
  for (const char* origin : {"https://evil.example", "null", "http://localhost.evil.example:1"}) {
    expect_refused(post + json_type + "Origin: " + origin + "\r\nContent-Length: 14\r\n\r\n", 403,
                   "forbidden");
  }
  HttpClient client(coordinator_.port());
  client.send(post + json_type + "Origin: http://localhost:3000\r\nContent-Length: 14\r\n\r\n" +
              R"({"prompt":"A"})");
  EXPECT_EQ(client.read_answer().status, 200);
}

TEST_F(HttpAbuse, TheAdminPortRefusesOtherHostsToo) {
  HttpClient client(coordinator_.admin_port());
  client.send("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n");
  EXPECT_EQ(client.read_answer().status, 403);
}

TEST(HttpLimits, InsecureAnswersUnderEveryHost) {
  FakeNode node;
  CoordinatorConfig config;
  config.insecure = true;
  CoordinatorHarness coordinator({&node}, config);
  for (const uint16_t port : {coordinator.port(), coordinator.admin_port()}) {
    HttpClient client(port);
    client.send("GET /metrics HTTP/1.1\r\nHost: coordinator.svc:8000\r\n\r\n");
    EXPECT_EQ(client.read_answer().status, 200);
  }
}

TEST(HttpLimits, SomeDescriptorsAreLeftForOthersThanHttp) {
  EXPECT_EQ(connections_within(2048, 1'000'000), 2048u);
  EXPECT_EQ(connections_within(2048, 1024), 896u);
  EXPECT_EQ(connections_within(100, 1024), 100u);
  EXPECT_EQ(connections_within(2048, 100), 50u);
  EXPECT_EQ(connections_within(2048, 0), 1u);
}

TEST(HttpLimits, MoreConnectionsThanAllowedWaitTheirTurn) {
  FakeNode node;
  CoordinatorConfig config;
  config.max_connections = 2;
  CoordinatorHarness coordinator({&node}, config);
  auto first = std::make_unique<HttpClient>(coordinator.port());
  auto second = std::make_unique<HttpClient>(coordinator.port());
  EXPECT_EQ(first->get("/health").status, 200);
  EXPECT_EQ(second->get("/health").status, 200);
  HttpClient third(coordinator.port());
  third.request("GET", "/health");
  EXPECT_TRUE(third.is_silent(std::chrono::milliseconds(300)));
  first.reset();
  EXPECT_EQ(third.read_answer().status, 200);
}

}  // namespace
}  // namespace lockstep
