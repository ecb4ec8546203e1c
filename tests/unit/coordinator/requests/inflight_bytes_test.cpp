// The bytes that a coordinator accepts at once, and the relation between the limits that one
// request passes.
#include "tests/unit/coordinator/http_api_support.h"
#include "wire/limits.h"

namespace lockstep::testing {
namespace {

using nlohmann::json;

CoordinatorConfig three_megabytes() {
  CoordinatorConfig config;
  config.max_body_bytes = 1 << 20;
  config.max_inflight_bytes = 3 << 20;
  return config;
}

// Repeats the request until the answer has this status; returns the last answer.
HttpAnswer ask_until(const CoordinatorHarness& coordinator, const std::string& body, int status) {
  HttpAnswer answer;
  for (int i = 0; i < 2000 && answer.status != status; ++i) {
    answer = coordinator.post("/tokenize", body);
    if (answer.status != status) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(answer.status, status) << answer.body;
  return answer;
}

TEST(InflightBytes, BodiesThatAreHalfReadCountUntilTheirClientsLeave) {
  FakeNode node;
  CoordinatorHarness coordinator({&node}, three_megabytes());
  const std::string body = R"({"prompt":")" + std::string(400'000, 'x') + "\"}";
  EXPECT_EQ(coordinator.post("/tokenize", body).status, 200);
  std::vector<std::unique_ptr<HttpClient>> slow(3);
  HttpAnswer refused;
  for (int i = 0; i < 1000 && refused.status != 429; ++i) {
    for (auto& client : slow) {
      // The previous request may have held the bytes that this client's body needed.
      if (client && client->is_silent(std::chrono::milliseconds(20))) continue;
      client = std::make_unique<HttpClient>(coordinator.port());
      client->send(
          "POST /tokenize HTTP/1.1\r\nHost: localhost\r\n"
          "Content-Type: application/json\r\nContent-Length: 1048576\r\n\r\n" +
          std::string(1'000'000, ' '));
    }
    refused = coordinator.post("/tokenize", body);
  }
  ASSERT_EQ(refused.status, 429) << refused.body;
  EXPECT_EQ(error_code(refused), "overloaded");
  EXPECT_EQ(refused.headers.count("retry-after"), 1u);
  EXPECT_NE(refused.body.find("would exceed 3145728"), std::string::npos) << refused.body;
  EXPECT_EQ(coordinator.post("/tokenize", R"({"prompt":"small ones still go"})").status, 200);
  slow.clear();
  ask_until(coordinator, body, 200);
}

TEST(InflightBytes, RequestsCountUntilTheirFinalMessage) {
  FakeNode node(FakeNode::hang_after(1));
  CoordinatorHarness coordinator({&node}, three_megabytes());
  const std::string body =
      R"({"model":"tiny","prompt":")" + std::string(900'000, 'x') + R"(","stream":true})";
  std::vector<std::unique_ptr<HttpClient>> streams;
  for (size_t i = 0; i < 3; ++i) {
    streams.push_back(std::make_unique<HttpClient>(coordinator.port()));
    streams.back()->post("/v1/completions", body);
    EXPECT_EQ(streams.back()->read_head().status, 200) << "one is running when it streams";
    node.wait_request(i);
  }
  const HttpAnswer refused = coordinator.post("/v1/completions", body);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.headers.count("retry-after"), 1u);
  node.say(wire::Done{node.wait_request(0).request_id, "stop", {1, 0, 1}});
  const std::string question = R"({"prompt":")" + std::string(800'000, 'x') + "\"}";
  ask_until(coordinator, question, 200);
}

TEST(InflightBytes, TheLargestBodyReachesANode) {
  FakeNode node;
  CoordinatorConfig config;
  config.node_suspect_ms =
      50'000;  // a fake node sends no heartbeats while it decodes, which is slow with sanitizers
  config.node_dead_ms = 60'000;
  CoordinatorHarness coordinator({&node}, config);
  const std::string head = R"({"model":"tiny","prompt":")", tail = "\"}";
  const size_t n_text = wire::kMaxBodyBytes - head.size() - tail.size();
  const HttpAnswer answer =
      coordinator.post("/v1/completions", head + std::string(n_text, 'x') + tail);
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(node.wait_request(0).prompt_text->size(), n_text);
}

TEST(InflightBytes, MoreValuesThanAMessageHasAreRefusedWithTheirNumber) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  std::string chat = R"({"model":"tiny","messages":[{"role":"user","content":"a"})";
  for (int i = 1; i < 215'000; ++i) chat += R"(,{"role":"user","content":"a"})";
  std::string ids = R"({"model":"tiny","prompt":[1)";
  for (int i = 1; i < 1'048'560; ++i) ids += ",1";
  for (const HttpAnswer& answer : {coordinator.post("/v1/chat/completions", chat + "]}"),
                                   coordinator.post("/v1/completions", ids + "]}")}) {
    EXPECT_EQ(answer.status, 400);
    EXPECT_NE(answer.body.find("1047552 values"), std::string::npos) << answer.body;
  }
}

TEST(InflightBytes, AnAnswerOfANodeThatCannotBeReadEndsItsRequest) {
  FakeNode node(FakeNode::hang_after(0));
  CoordinatorHarness coordinator({&node});
  HttpClient client(coordinator.port());
  client.post("/v1/chat/completions", kChat);
  const std::string id = node.wait_request(0).request_id;
  node.say(wire::Detokenized{id, std::string(wire::kMaxMessageBytes, 'x')});
  const HttpAnswer answer = client.read_answer();
  EXPECT_EQ(answer.status, 500);
  EXPECT_NE(answer.body.find("cannot be read"), std::string::npos) << answer.body;
  EXPECT_EQ(node.wait_cancels(1).at(0), id);
}

TEST(InflightBytes, SettingsThatContradictEachOtherAreRefused) {
  const auto refused = [](int64_t body, int64_t inflight) {
    CoordinatorConfig config;
    config.max_body_bytes = body;
    config.max_inflight_bytes = inflight;
    const Result<CoordinatorSettings> settings = resolve(config);
    return settings ? Error{} : settings.error();
  };
  EXPECT_TRUE(resolve(CoordinatorConfig{}));
  EXPECT_EQ(refused(16 << 20, 33 << 20).param, "");
  EXPECT_EQ(refused((16 << 20) + 1, 1 << 30).message,
            "max_body_bytes must be at most 16777216, got 16777217: a message to a node holds "
            "17825792");
  const Error small = refused(16 << 20, (33 << 20) - 1);
  EXPECT_EQ(small.param, "max_inflight_bytes");
  EXPECT_NE(small.message.find("at least 34603008, got 34603007"), std::string::npos)
      << small.message;
}

}  // namespace
}  // namespace lockstep::testing
