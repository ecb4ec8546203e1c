// The HTTP API against fake nodes: the answers to clients and the messages to nodes.
#include <gtest/gtest.h>

#include <atomic>
#include <set>

#include "common/log.h"
#include "common/version.h"
#include "tests/unit/coordinator/http_api_support.h"

namespace lockstep::testing {
namespace {

using nlohmann::json;

TEST(HttpApi, AChatIsAnswered) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  const HttpAnswer answer = coordinator.post("/v1/chat/completions", kChat);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("content-type"), "application/json");
  const json body = json::parse(answer.body);
  EXPECT_EQ(body["choices"][0]["message"]["content"], "t0 t1 t2 ");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(body["usage"]["prompt_tokens_details"]["cached_tokens"], 1);
  EXPECT_EQ(std::string(body["id"]).rfind("chatcmpl-", 0), 0u);
  const wire::Generate sent = node.wait_request(0);
  EXPECT_TRUE(sent.messages.has_value());
  EXPECT_EQ(answer.headers.at("x-lockstep-seed"), std::to_string(*sent.seed));
}

TEST(HttpApi, AStreamHasRoleTokensUsageAndDone) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  std::string ask = kChatStream;
  ask.insert(ask.size() - 1, R"(,"stream_options":{"include_usage":true})");
  const HttpAnswer answer = coordinator.post("/v1/chat/completions", ask);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("content-type"), "text/event-stream; charset=utf-8");
  EXPECT_EQ(answer.headers.at("cache-control"), "no-cache");
  EXPECT_EQ(answer.headers.at("x-accel-buffering"), "no");
  const std::vector<std::string> data = events(answer.body);
  ASSERT_EQ(data.size(), 7u);
  EXPECT_EQ(json::parse(data[0])["choices"][0]["delta"]["role"], "assistant");
  std::string text;
  for (size_t i = 1; i < 4; ++i)
    text += std::string(json::parse(data[i])["choices"][0]["delta"]["content"]);
  EXPECT_EQ(text, "t0 t1 t2 ");
  EXPECT_TRUE(json::parse(data[4])["choices"][0]["delta"].empty());
  EXPECT_EQ(json::parse(data[4])["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(json::parse(data[5])["usage"]["completion_tokens"], 3);
  EXPECT_EQ(data[6], "[DONE]");
}

TEST(HttpApi, ChoicesAndPromptsAreNumberedTogether) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  const HttpAnswer answer =
      coordinator.post("/v1/completions", R"({"model":"tiny","prompt":["a","b","c"],"n":2})");
  const json body = json::parse(answer.body);
  ASSERT_EQ(body["choices"].size(), 6u);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(body["choices"][i]["index"], i);
  EXPECT_EQ(body["usage"]["prompt_tokens"], 6);
  EXPECT_EQ(body["usage"]["completion_tokens"], 18);
  std::set<std::string> prompts;
  for (size_t i = 0; i < 3; ++i) prompts.insert(*node.wait_request(i).prompt_text);
  EXPECT_EQ(prompts, (std::set<std::string>{"a", "b", "c"}));
}

TEST(HttpApi, AStreamOfSeveralPromptsCarriesEveryIndex) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  const HttpAnswer answer = coordinator.post(
      "/v1/completions", R"({"model":"tiny","prompt":[[1],[2]],"n":2,"stream":true})");
  std::map<int, std::string> texts;
  const std::vector<std::string> data = events(answer.body);
  for (size_t i = 0; i + 1 < data.size(); ++i) {
    const json choice = json::parse(data[i])["choices"][0];
    texts[choice["index"]] += std::string(choice["text"]);
  }
  ASSERT_EQ(texts.size(), 4u);
  for (const auto& [index, text] : texts) EXPECT_EQ(text, "t0 t1 t2 ") << index;
}

TEST(HttpApi, TheReportedSeedIsThatOfEveryPrompt) {
  const std::string ask = R"({"model":"tiny","prompt":["a","b","c"]})";
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  const std::string seed = coordinator.post("/v1/completions", ask).headers.at("x-lockstep-seed");
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(std::to_string(*node.wait_request(i).seed), seed);
  EXPECT_NE(coordinator.post("/v1/completions", ask).headers.at("x-lockstep-seed"), seed);

  CoordinatorConfig config;
  config.seed = 7;
  FakeNode other;
  CoordinatorHarness seeded({&other}, config);
  EXPECT_EQ(seeded.post("/v1/completions", ask).headers.at("x-lockstep-seed"), "7");
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(other.wait_request(i).seed, 7u);
}

TEST(HttpApi, ASilentStreamIsKeptAlive) {
  FakeNode node(FakeNode::hang_after(0));
  CoordinatorConfig config;
  config.keep_alive_ms = 50;
  CoordinatorHarness coordinator({&node}, config);
  HttpClient client(coordinator.port());
  client.post("/v1/chat/completions", kChatStream);
  client.read_head();
  std::string text;
  while (text.find(": keep-alive\n") == std::string::npos) ASSERT_TRUE(client.read_chunk(text));
}

TEST(HttpApi, SixteenStreamsAtOnceAllFinish) {
  FakeNode first(FakeNode::answer(50)), second(FakeNode::answer(50));
  CoordinatorConfig config;
  config.http_threads = 2;
  CoordinatorHarness coordinator({&first, &second}, config);
  const std::string alone =
      coordinator.post("/v1/completions", R"({"model":"tiny","prompt":"a"})").body;
  const json expected = json::parse(alone)["choices"];
  std::vector<std::thread> clients;
  std::atomic<int> n_equal{0};
  for (int i = 0; i < 16; ++i) {
    clients.emplace_back([&] {
      const HttpAnswer answer =
          coordinator.post("/v1/completions", R"({"model":"tiny","prompt":"a","stream":true})");
      std::string text;
      const std::vector<std::string> data = events(answer.body);
      for (size_t k = 0; k + 1 < data.size(); ++k)
        text += std::string(json::parse(data[k])["choices"][0]["text"]);
      if (text == expected[0]["text"] && data.back() == "[DONE]") ++n_equal;
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(n_equal, 16);
}

TEST(HttpApi, TheSmallEndpointsAnswer) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  EXPECT_EQ(coordinator.get("/health").status, 200);
  EXPECT_EQ(coordinator.get("/ready?verbose").status, 200);
  EXPECT_TRUE(json::parse(coordinator.get("/version").body).contains("version"));
  const json models = json::parse(coordinator.get("/v1/models").body);
  EXPECT_EQ(models["object"], "list");
  EXPECT_EQ(models["data"][0]["id"], "tiny");
  EXPECT_EQ(models["data"][0]["max_model_len"], 2048);
  EXPECT_EQ(models["data"][0]["owned_by"], "lockstep");
  EXPECT_EQ(models["data"][0]["default_sampling_params"],
            json::parse(R"({"temperature":0.6,"top_k":20})"));
  EXPECT_EQ(json::parse(coordinator.get("/v1/models/tin%79").body)["id"], "tiny");
  const HttpAnswer unknown = coordinator.get("/v1/models/none");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(error_code(unknown), "model_not_found");
  const std::string metrics = coordinator.get("/metrics").body;
  for (const char* name : {"vllm:num_requests_running{model_name=\"tiny\"}",
                           "vllm:num_requests_waiting{", "vllm:kv_cache_usage_perc{",
                           "vllm:cache_config_info{model_name=\"tiny\",block_size=\"16\","
                           "num_gpu_blocks=\"64\"} 1"})
    EXPECT_NE(metrics.find(name), std::string::npos) << metrics;
}

TEST(HttpApi, TextGoesToTokensAndBack) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  const HttpAnswer tokens =
      coordinator.post("/tokenize", R"({"prompt":"AB","return_token_strs":true})");
  EXPECT_EQ(tokens.body,
            R"({"count":2,"max_model_len":2048,"tokens":[65,66],"token_strs":["A","B"]})");
  EXPECT_EQ(coordinator.post("/detokenize", R"({"model":"tiny","tokens":[65,66]})").body,
            R"({"prompt":"AB"})");
  EXPECT_EQ(coordinator.post("/tokenize", R"({"model":"x","prompt":"A"})").status, 404);
  EXPECT_EQ(coordinator.post("/detokenize", "{}").status, 400);
}

TEST(HttpApi, AnswersHaveTheseBytes) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  const std::string server = str("\r\nServer: lockstep/", kVersion, "\r\nX-Request-Id: mine\r\n");
  const auto answer = [&](const std::string& line, const std::string& headers = "") {
    HttpClient client(coordinator.port());
    client.send(line + "\r\nX-Request-Id: mine\r\n" + headers + "\r\n");
    return client.read_to_end();
  };
  const std::string close = "Connection: close\r\n";
  const std::string health =
      "Content-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"status\":\"ok\"}";
  EXPECT_EQ(answer("GET /health HTTP/1.1", close), "HTTP/1.1 200 OK" + server + close + health);
  EXPECT_EQ(answer("GET /health HTTP/1.0"), "HTTP/1.0 200 OK" + server + health);
  const std::string refusal = answer("PUT /health HTTP/1.1", close);
  EXPECT_TRUE(refusal.starts_with("HTTP/1.1 405 Method Not Allowed" + server + close +
                                  "Content-Type: application/json\r\nAllow: GET, HEAD\r\n"
                                  "Content-Length: "))
      << refusal;
  const std::string body = R"({"model":"tiny","prompt":"a","stream":true,"seed":7})";
  const std::string stream =
      answer("POST /v1/completions HTTP/1.1",
             close + str("Content-Type: application/json\r\nContent-Length: ", body.size(),
                         "\r\n\r\n", body));
  EXPECT_TRUE(stream.starts_with(
      "HTTP/1.1 200 OK" + server + close +
      "Content-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
      "X-Accel-Buffering: no\r\nX-Lockstep-Seed: 7\r\nX-Resume-Token: "))
      << stream;
  EXPECT_NE(stream.find("\r\nTransfer-Encoding: chunked\r\n\r\n"), std::string::npos) << stream;
  EXPECT_TRUE(stream.ends_with("data: [DONE]\n\n\r\n0\r\n\r\n")) << stream;
}

TEST(HttpApi, HeadIsGetWithoutTheBody) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  HttpClient client(coordinator.port());
  for (const char* path : {"/metrics", "/health", "/v1/models", "/nowhere"}) {
    client.request("HEAD", path);
    const HttpAnswer answer = client.read_answer(false);
    EXPECT_EQ(answer.status, std::string(path) == "/nowhere" ? 404 : 200) << path;
    EXPECT_GT(std::stoi(answer.headers.at("content-length")), 0) << path;
  }
  EXPECT_EQ(client.get("/version").status, 200) << "the connection is still in step";
}

TEST(HttpApi, RequestIdsAreEchoedOrMade) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  HttpClient client(coordinator.port());
  client.post("/v1/completions", R"({"model":"tiny","prompt":"a"})", "X-Request-Id: mine-1\r\n");
  EXPECT_EQ(client.read_answer().headers.at("x-request-id"), "mine-1");
  const std::string minted = client.get("/health").headers.at("x-request-id");
  EXPECT_NE(minted, client.get("/health").headers.at("x-request-id"));
}

TEST(HttpApi, ARunningRequestSurvivesTheDrainAndNewOnesAreRefused) {
  FakeNode node(FakeNode::hang_after(1));
  CoordinatorHarness coordinator({&node});
  HttpClient streaming(coordinator.port()), resting(coordinator.port());
  resting.get("/health");
  streaming.post("/v1/chat/completions", kChatStream);
  const wire::Generate request = node.wait_request(0);
  bool in_time = false;
  std::thread drain(
      [&] { in_time = coordinator.app().drain(std::chrono::seconds(20), [] { return false; }); });
  EXPECT_TRUE(resting.at_end()) << "an idle connection is closed";
  node.say(FakeNode::piece(request, 0, 1));
  node.say(wire::Done{request.request_id, "stop", {1, 0, 2}});
  const HttpAnswer answer = streaming.read_answer();
  EXPECT_EQ(events(answer.body).back(), "[DONE]");
  EXPECT_TRUE(streaming.at_end());
  drain.join();
  EXPECT_TRUE(in_time);
}

TEST(HttpApi, AnImpatientShutdownCancelsWhatRuns) {
  FakeNode node(FakeNode::hang_after(1));
  auto coordinator = std::make_unique<CoordinatorHarness>(std::vector<FakeNode*>{&node});
  HttpClient client(coordinator->port());
  client.post("/v1/chat/completions", kChatStream);
  node.wait_request(0);
  ASSERT_EQ(client.read_head().status, 200);
  EXPECT_FALSE(coordinator->app().drain(std::chrono::seconds(20), [] { return true; }));
  std::string body;
  while (client.read_chunk(body)) {
  }
  const std::vector<std::string> data = events(body);
  ASSERT_GE(data.size(), 2u);
  const json error =
      json::parse(data.back())["error"];  // no [DONE]: the stream can go on elsewhere
  EXPECT_EQ(error["code"], "no_node_ready");
  EXPECT_EQ(error["type"], "unavailable_error");
  coordinator.reset();
  EXPECT_GE(node.wait_cancels(1).size(), 1u);
}

TEST(HttpApi, AnAnswerThatAShutdownEndsIs503) {
  FakeNode node(FakeNode::hang_after(1));
  CoordinatorHarness coordinator({&node});
  HttpClient client(coordinator.port());
  client.post("/v1/chat/completions", kChat);
  node.wait_request(0);
  EXPECT_FALSE(coordinator.app().drain(std::chrono::seconds(20), [] { return true; }));
  const HttpAnswer answer = client.read_answer();
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.headers.at("retry-after"), "1");
  EXPECT_EQ(json::parse(answer.body)["error"]["type"], "unavailable_error");
}

// For the sanitizers: no object of a running request is used after its destruction.
TEST(HttpApi, AShutdownInTheMiddleOfTokensIsClean) {
  for (int round = 0; round < 5; ++round) {
    FakeNode node(FakeNode::hang_after(1));
    auto coordinator = std::make_unique<CoordinatorHarness>(std::vector<FakeNode*>{&node});
    HttpClient client(coordinator->port());
    client.post("/v1/chat/completions", kChatStream);
    const wire::Generate request = node.wait_request(0);
    std::atomic<bool> over{false};
    std::thread talk([&] {
      for (uint32_t i = 1; !over; ++i) {
        node.say(FakeNode::piece(request, 0, i));
        std::this_thread::sleep_for(std::chrono::microseconds(200));
      }
    });
    client.read_head();
    coordinator.reset();
    over = true;
    talk.join();
    EXPECT_EQ(node.wait_cancels(1).at(0), request.request_id);
  }
}

TEST(HttpApi, ProbesOfALiveCoordinatorSayOk) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  for (const char* path : {"/livez", "/startupz", "/readyz"})
    EXPECT_EQ(HttpClient(coordinator.admin_port()).get(path).status, 200) << path;
  EXPECT_TRUE(coordinator.app().alive());
}

TEST(HttpApi, WhatHappensIsCounted) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  coordinator.post("/v1/chat/completions", kChat);
  coordinator.post("/v1/chat/completions", "{}");
  const std::string metrics = coordinator.admin_metrics();
  for (const char* line : {"lockstep_coordinator_requests_total{outcome=\"length\"} 1",
                           "lockstep_coordinator_generation_tokens_total 3",
                           "lockstep_coordinator_prompt_tokens_total{source=\"cached\"} 1",
                           "lockstep_coordinator_http_responses_total{code=\"400\"} 1",
                           "lockstep_coordinator_time_to_first_token_seconds_count 1"})
    EXPECT_NE(metrics.find(line), std::string::npos) << line << "\n" << metrics;
}

}  // namespace
}  // namespace lockstep::testing
