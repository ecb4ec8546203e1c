// The headers about routing, /v1/routes and the counter, against fake nodes.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/unit/coordinator/http_api_support.h"

namespace lockstep::testing {
namespace {

using nlohmann::json;

constexpr const char* kIds = R"({"model":"tiny","prompt":[1,2,3]})";

TEST(RouteHeaders, AReceiptComesOnRequestOnly) {
  FakeNode a, b;
  CoordinatorHarness coordinator({&a, &b});
  EXPECT_EQ(coordinator.post("/v1/completions", kIds).headers.count("x-route-receipt"), 0u);
  const HttpAnswer answer =
      coordinator.post("/v1/completions", kIds, "X-Route-Receipt: 1\r\nX-Request-Id: mine\r\n");
  ASSERT_EQ(answer.headers.count("x-route-receipt"), 1u);
  const json receipts = json::parse(answer.headers.at("x-route-receipt"));
  ASSERT_EQ(receipts.size(), 1u);
  EXPECT_EQ(receipts[0]["request_id"], "mine");
  EXPECT_EQ(receipts[0]["policy"], "cost");
  EXPECT_EQ(receipts[0]["prompt_tokens"], 3);
  EXPECT_EQ(receipts[0]["prompt_tokens_known"], true);
  EXPECT_EQ(receipts[0]["candidates"].size(), 2u);
}

TEST(RouteHeaders, AStreamHasItsReceiptInItsHeaders) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  const HttpAnswer answer =
      coordinator.post("/v1/chat/completions", kChatStream, "X-Route-Receipt: yes\r\n");
  const json receipts = json::parse(answer.headers.at("x-route-receipt"));
  EXPECT_EQ(receipts[0]["reason"], "only_candidate");
  EXPECT_EQ(receipts[0]["node"], node.endpoint());
}

TEST(RouteHeaders, EachPromptHasItsReceipt) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  const HttpAnswer answer = coordinator.post(
      "/v1/completions", R"({"model":"tiny","prompt":["a","b"]})", "X-Route-Receipt: 1\r\n");
  const json receipts = json::parse(answer.headers.at("x-route-receipt"));
  ASSERT_EQ(receipts.size(), 2u);
  EXPECT_EQ(receipts[0]["prompt"], "0");
  EXPECT_EQ(receipts[1]["prompt"], "1");
}

TEST(RouteHeaders, ASessionIsTheBodysKeyElseTheHeader) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  coordinator.post("/v1/completions", kIds, "X-Session-ID: s-1\r\n");
  EXPECT_EQ(node.wait_request(0).prompt_cache_key, "s-1");
  coordinator.post("/v1/completions",
                   R"({"model":"tiny","prompt":[1,2,3],"prompt_cache_key":"key"})",
                   "X-Session-ID: s-1\r\n");
  EXPECT_EQ(node.wait_request(1).prompt_cache_key, "key");
}

TEST(RouteHeaders, ASessionStaysAtOneNode) {
  FakeNode a, b, c;
  CoordinatorConfig config;
  config.policy = "session";
  CoordinatorHarness coordinator({&a, &b, &c}, config);
  for (int session = 0; session < 5; ++session) {
    std::set<std::string> nodes;
    for (int i = 0; i < 4; ++i) {
      const std::string body =
          R"({"model":"tiny","prompt":[)" + std::to_string(10 * session + i) + "]}";
      const HttpAnswer answer = coordinator.post(
          "/v1/completions", body,
          "X-Route-Receipt: 1\r\nX-Session-ID: s" + std::to_string(session) + "\r\n");
      nodes.insert(json::parse(answer.headers.at("x-route-receipt"))[0]["node"]);
    }
    EXPECT_EQ(nodes.size(), 1u);
  }
}

TEST(RouteHeaders, ALongSessionIsRefused) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  const HttpAnswer answer =
      coordinator.post("/v1/completions", kIds, "X-Session-ID: " + std::string(257, 'x') + "\r\n");
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(json::parse(answer.body)["error"]["param"], "x-session-id");
}

TEST(RouteHeaders, TheAdminPortKnowsWhy) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  coordinator.post("/v1/completions", R"({"model":"tiny","prompt":["a","b"]})",
                   "X-Request-Id: a/b \r\n");
  const HttpAnswer answer = HttpClient(coordinator.admin_port()).get("/v1/routes/a%2Fb");
  EXPECT_EQ(answer.status, 200);
  const json page = json::parse(answer.body);
  EXPECT_EQ(page["request_id"], "a/b");
  ASSERT_EQ(page["routes"].size(), 2u);
  EXPECT_EQ(page["routes"][1]["prompt"], "1");
  EXPECT_EQ(HttpClient(coordinator.admin_port()).get("/v1/routes/other").status, 404);
  EXPECT_EQ(HttpClient(coordinator.admin_port()).get("/v1/routes/").status, 404);
  EXPECT_NE(coordinator.admin_metrics().find("lockstep_route_decisions_total{policy=\"cost\","
                                             "reason=\"only_candidate\"} 2"),
            std::string::npos);
}

}  // namespace
}  // namespace lockstep::testing
