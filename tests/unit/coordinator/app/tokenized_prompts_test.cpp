// Prompts through a whole coordinator, in front of nodes that publish their text model.
#include "tests/support/coordinator_harness.h"
#include "tests/support/wire_peer.h"
#include "tests/unit/coordinator/prompts_support.h"

namespace lockstep::testing {
namespace {

// A publication that is true, unless `fingerprint` is not that of the data.
void publish(FakeNode& node, const std::string& fingerprint = "") {
  const std::string data = write_text_data(small_text_data());
  node.publish_text(data, fingerprint.empty() ? text_fingerprint(data) : fingerprint);
}

wire::Generate generate(const std::string& id, std::string text) {
  wire::Generate request;
  request.request_id = id;
  request.model = "tiny";
  request.prompt_text = std::move(text);
  return request;
}

std::string words(size_t n_bytes) {
  std::string text;
  while (text.size() < n_bytes) text += "bcd xyz\n";
  return text;
}

// Sends short prompts until the coordinator tokenises them; returns how many the nodes got.
size_t wait_tokenizes(CoordinatorHarness& coordinator) {
  for (size_t n = 1; n < 2000; ++n) {
    coordinator.post("/v1/completions", R"({"model":"tiny","prompt":"hello"})");
    if (coordinator.admin_metrics().find("prompts_total{outcome=\"encoded\"} 0") ==
        std::string::npos)
      return n;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ADD_FAILURE() << "the coordinator did not get the text model";
  return 0;
}

TEST(TokenizedPrompts, OverHttpANodeGetsIds) {
  FakeNode node;
  publish(node);
  CoordinatorHarness coordinator({&node});
  const size_t n = wait_tokenizes(coordinator);
  const wire::Generate last = node.wait_request(n - 1);
  EXPECT_FALSE(last.prompt_text);
  EXPECT_EQ(last.prompt_ids, small_text_model().encode({.text = "hello"}).value());
}

TEST(TokenizedPrompts, ANodeThatLiesGetsText) {
  FakeNode node;
  publish(node, "0123456789abcdef0123456789abcdef");
  CoordinatorHarness coordinator({&node});
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(coordinator.post("/v1/completions", R"({"model":"tiny","prompt":"hello"})").status,
              200);
    EXPECT_EQ(node.wait_request(i).prompt_text, "hello");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_NE(coordinator.admin_metrics().find("prompts_total{outcome=\"text_no_model\"} 20"),
            std::string::npos);
}

// 8 MiB of text have more ids than a message can hold, so the text goes on; meanwhile others are
// answered, and a client that cancels gets its final message at once.
TEST(TokenizedPrompts, LongTextsBlockNobody) {
  FakeNode node;
  publish(node);
  // The fake node has no heartbeat while it decodes; a loaded machine must not take it for dead.
  CoordinatorConfig config;
  config.node_suspect_ms = 100'000;
  config.node_dead_ms = 200'000;
  CoordinatorHarness coordinator({&node}, config);
  size_t n = wait_tokenizes(coordinator);
  WirePeer client(coordinator.app().zmq_endpoint());
  const std::string text = words(size_t{8} << 20);
  client.send(generate("long", text));
  client.send(generate("cancelled", words(size_t{1} << 20)));
  client.send(wire::Cancel{"cancelled"});
  const auto error = client.expect<wire::ErrorReply>();
  EXPECT_EQ(error.request_id, "cancelled");
  EXPECT_EQ(error.code, ErrorCode::kCancelled);
  client.send(generate("short", "hello"));
  EXPECT_EQ(client.expect<wire::Done>().request_id, "short");
  EXPECT_TRUE(node.wait_request(n++).prompt_ids);
  constexpr std::chrono::seconds kSanitized{200};  // what a sanitized build may need for the text
  EXPECT_EQ(client.expect<wire::Done>(kSanitized).request_id, "long");
  const wire::Generate at_node = node.wait_request(n);
  EXPECT_TRUE(at_node.prompt_text == text);
  EXPECT_NE(coordinator.admin_metrics().find("prompts_total{outcome=\"text_too_large\"} 1"),
            std::string::npos);
}

TEST(TokenizedPrompts, AShutdownDoesNotWaitForTheQueueOfLongTexts) {
  FakeNode node;
  publish(node);
  auto coordinator = std::make_unique<CoordinatorHarness>(std::vector<FakeNode*>{&node});
  wait_tokenizes(*coordinator);
  WirePeer client(coordinator->app().zmq_endpoint());
  constexpr size_t kTexts = 4;
  for (size_t i = 0; i < kTexts; ++i)
    client.send(generate(std::to_string(i), words(size_t{1} << 17)));
  client.send(generate("short", "hello"));
  client.expect<wire::Done>();  // all of them have arrived
  coordinator.reset();
  size_t n_ends = 0;
  while (const auto message = client.receive(std::chrono::milliseconds(500)))
    n_ends += std::holds_alternative<wire::ErrorReply>(*message) ||
                      std::holds_alternative<wire::Done>(*message)
                  ? 1
                  : 0;
  EXPECT_EQ(n_ends, kTexts);
}

}  // namespace
}  // namespace lockstep::testing
