// The HTTP API with failures: refusals, failures within a stream, clients that disconnect.
#include <gtest/gtest.h>

#include "tests/unit/coordinator/http_api_support.h"

namespace lockstep::testing {
namespace {

using nlohmann::json;

TEST(HttpApi, RefusalsBeforeAcceptanceArePlainHttpErrors) {
  FakeNode node(FakeNode::refuse(ErrorCode::kContextLengthExceeded, "9 > 8", "messages"));
  CoordinatorHarness coordinator({&node});
  for (const char* ask : {kChat, kChatStream}) {
    const HttpAnswer answer = coordinator.post("/v1/chat/completions", ask);
    EXPECT_EQ(answer.status, 400);
    EXPECT_EQ(error_code(answer), "context_length_exceeded");
    EXPECT_EQ(json::parse(answer.body)["error"]["param"], "messages");
  }
}

TEST(HttpApi, OverloadSaysWhenToTryAgain) {
  FakeNode node(FakeNode::refuse(ErrorCode::kOverloaded, "the queue is full"));
  CoordinatorHarness coordinator({&node});
  const HttpAnswer answer = coordinator.post("/v1/chat/completions", kChat);
  EXPECT_EQ(answer.status, 429);
  EXPECT_EQ(answer.headers.at("retry-after"), "1");
}

TEST(HttpApi, AFailureInMidStreamIsAnEventAndThenDone) {
  FakeNode node([](const wire::Generate& request) {
    auto messages = FakeNode::hang_after(2)(request);
    messages.push_back(wire::ErrorReply{request.request_id, ErrorCode::kDecodeFailed, "nan", ""});
    return messages;
  });
  CoordinatorHarness coordinator({&node});
  const HttpAnswer answer = coordinator.post("/v1/chat/completions", kChatStream);
  EXPECT_EQ(answer.status, 200);
  const std::vector<std::string> data = events(answer.body);
  ASSERT_GE(data.size(), 2u);
  EXPECT_EQ(json::parse(data[data.size() - 2])["error"]["code"], "decode_failed");
  EXPECT_EQ(data.back(), "[DONE]");
}

TEST(HttpApi, ADeadNodeEndsItsStreamWithAnErrorAndDone) {
  FakeNode node(FakeNode::hang_after(1));
  CoordinatorConfig config;
  config.node_suspect_ms = 1000;
  config.node_dead_ms = 2000;
  config.resume_timeout_ms = 100;  // there is no other node
  CoordinatorHarness coordinator({&node}, config);
  HttpClient client(coordinator.port());
  client.post("/v1/chat/completions", kChatStream);
  ASSERT_EQ(client.read_head().status, 200);
  std::string body;
  client.read_chunk(body);
  node.die();
  while (client.read_chunk(body)) {
  }
  const std::vector<std::string> data = events(body);
  ASSERT_GE(data.size(), 2u);
  EXPECT_EQ(json::parse(data[data.size() - 2])["error"]["code"], "decode_failed");
  EXPECT_EQ(data.back(), "[DONE]");
  EXPECT_EQ(coordinator.get("/health").status, 503);
}

TEST(HttpApi, ADisconnectWhileStreamingCancels) {
  FakeNode node(FakeNode::hang_after(1));
  CoordinatorHarness coordinator({&node});
  HttpClient client(coordinator.port());
  client.post("/v1/chat/completions", kChatStream);
  client.read_head();
  const std::string id = node.wait_request(0).request_id;
  client.close();
  EXPECT_EQ(node.wait_cancels(1)[0], id);
}

TEST(HttpApi, ADisconnectWhileWaitingCancels) {
  for (const char* ask : {kChat, kChatStream}) {
    FakeNode node(FakeNode::silence());
    CoordinatorHarness coordinator({&node});
    HttpClient client(coordinator.port());
    client.post("/v1/chat/completions", ask);
    const std::string id = node.wait_request(0).request_id;
    client.close();
    EXPECT_EQ(node.wait_cancels(1)[0], id);
  }
}

TEST(HttpApi, ADisconnectWhileTokenizingIsNoticed) {
  FakeNode node;
  node.ignore_questions();
  CoordinatorHarness coordinator({&node});
  for (const auto& [path, body] : {std::pair("/tokenize", R"({"prompt":"AB"})"),
                                   std::pair("/detokenize", R"({"tokens":[65]})")}) {
    HttpClient client(coordinator.port());
    client.post(path, body);
  }
  node.wait_questions(2);
  EXPECT_EQ(node.wait_cancels(2).size(), 2u);
}

TEST(HttpApi, OneBadPromptEndsTheOthers) {
  FakeNode node([](const wire::Generate& request) {
    return request.prompt_text == "bad"
               ? FakeNode::refuse(ErrorCode::kInvalidRequest, "no", "prompt")(request)
               : FakeNode::hang_after(1)(request);
  });
  CoordinatorHarness coordinator({&node});
  const HttpAnswer answer =
      coordinator.post("/v1/completions", R"({"model":"tiny","prompt":["a","bad"],"stream":true})");
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(node.wait_cancels(1).size(), 1u);
}

TEST(HttpApi, UnknownPathsAndMethodsAreErrorsInOpenAisShape) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  const HttpAnswer missing = coordinator.get("/v2/models");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(error_code(missing), "not_found");
  const HttpAnswer wrong = coordinator.get("/v1/chat/completions");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.at("allow"), "POST");
  EXPECT_EQ(error_code(wrong), "method_not_allowed");
  EXPECT_EQ(coordinator.post("/v1/models", "{}").headers.at("allow"), "GET, HEAD");
}

TEST(HttpApi, WithoutANodeEverythingIs503ButTheVersion) {
  CoordinatorHarness coordinator({});
  const HttpAnswer answer = coordinator.post("/v1/chat/completions", kChat);
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(error_code(answer), "no_node_ready");
  EXPECT_EQ(answer.headers.at("retry-after"), "1");
  EXPECT_EQ(coordinator.get("/health").status, 503);
  EXPECT_EQ(coordinator.get("/version").status, 200);
  EXPECT_EQ(json::parse(coordinator.get("/v1/models").body)["data"].size(), 0u);
}

TEST(HttpApi, AnUnknownModelIs404) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  const HttpAnswer answer =
      coordinator.post("/v1/completions", R"({"model":"gpt-9","prompt":"a"})");
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(error_code(answer), "model_not_found");
}

}  // namespace
}  // namespace lockstep::testing
