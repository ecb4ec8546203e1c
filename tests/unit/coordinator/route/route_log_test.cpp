// RouteLog and route_receipt: what is kept of a decision, and how it reads.
#include "coordinator/route/route_log.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace lockstep {
namespace {

RouteDecision decision(const std::string& id, uint32_t attempt = 0) {
  RouteDecision out;
  out.request_id = id;
  out.attempt = attempt;
  out.candidates.resize(2);
  out.candidates[0].endpoint = "tcp://a:1";
  out.candidates[1].endpoint = "tcp://b:1";
  out.chosen = 1;
  return out;
}

TEST(RouteLog, KeepsEveryAttemptOfARequestInOrder) {
  RouteLog log;
  log.add(decision("a", 0));
  log.add(decision("b", 0));
  log.add(decision("a", 1));
  const auto found = log.find("a");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].attempt, 0u);
  EXPECT_EQ(found[1].attempt, 1u);
  EXPECT_TRUE(log.find("c").empty());
  EXPECT_TRUE(RouteLog().find("").empty());
}

TEST(RouteLog, TheOldestDecisionMakesRoom) {
  RouteLog log;
  for (uint32_t i = 0; i <= RouteLog::kMaxDecisions; ++i) log.add(decision(std::to_string(i)));
  EXPECT_TRUE(log.find("0").empty());
  EXPECT_EQ(log.find("1").size(), 1u);
  log.add(decision("1", 7));
  const auto found = log.find("1");
  ASSERT_EQ(found.size(), 1u) << "the first decision about 1 made room for the second";
  EXPECT_EQ(found[0].attempt, 7u);
}

TEST(RouteLog, AttemptsAreInOrderAroundTheEndOfTheRing) {
  RouteLog log;
  for (uint32_t i = 1; i < RouteLog::kMaxDecisions; ++i) log.add(decision(std::to_string(i)));
  log.add(decision("a", 0));
  log.add(decision("a", 1));
  const auto found = log.find("a");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].attempt, 0u);
  EXPECT_EQ(found[1].attempt, 1u);
}

TEST(RouteReceipt, NamesTheNodeAndEveryCandidatesTerms) {
  RouteDecision d = decision("req-1", 2);
  d.prompt = "3";
  d.model = "m";
  d.reason = RouteReason::kPrefix;
  d.n_prompt_tokens = 513;
  d.has_tokens = true;
  d.n_outputs = 12.5;
  d.candidates[1].cost = {.queue = 1, .prefill = 2, .decode = 3, .streams = 4, .eviction = 5};
  d.candidates[1].n_cached_tokens = 512;
  d.candidates[1].has_step_times = true;
  const std::string text = route_receipt(d);
  EXPECT_EQ(text.find('\n'), text.npos);
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json["request_id"], "req-1");
  EXPECT_EQ(json["prompt"], "3");
  EXPECT_EQ(json["attempt"], 2);
  EXPECT_EQ(json["policy"], "cost");
  EXPECT_EQ(json["reason"], "prefix");
  EXPECT_EQ(json["node"], "tcp://b:1");
  EXPECT_EQ(json["prompt_tokens"], 513);
  EXPECT_EQ(json["prompt_tokens_known"], true);
  const auto& chosen = json["candidates"][1];
  EXPECT_EQ(chosen["chosen"], true);
  EXPECT_EQ(chosen["cached_tokens"], 512);
  EXPECT_EQ(chosen["step_times"], "fitted");
  EXPECT_EQ(chosen["cost_ms"]["total"], 15);
  EXPECT_EQ(json["candidates"][0]["step_times"], "assumed");
}

TEST(RouteReceipt, OtherPoliciesHaveNoCosts) {
  RouteDecision d = decision("r");
  d.policy = RoutingPolicy::kRoundRobin;
  d.reason = RouteReason::kTurn;
  const auto json = nlohmann::json::parse(route_receipt(d));
  EXPECT_FALSE(json["candidates"][0].contains("cost_ms"));
  EXPECT_FALSE(json.contains("prompt"));
}

TEST(RouteReceipt, OfManyCandidatesItHasTheChosenOneAndTheCheapest) {
  RouteDecision d = decision("r");
  d.candidates.resize(64);
  d.chosen = 5;
  for (size_t i = 0; i < 64; ++i) {
    d.candidates[i].endpoint = "tcp://lockstep-node-" + std::to_string(i) + ".lockstep-node:5556";
    d.candidates[i].cost = {.queue = 123.456,
                            .prefill = 1234.567,
                            .decode = 64.0 - i,
                            .streams = 12345.678,
                            .eviction = 1.234};
  }
  const std::string text = route_receipt(d, 8);
  EXPECT_LT(text.size(), 4096u);
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json["n_candidates"], 64);
  std::vector<std::string> nodes;
  for (const auto& candidate : json["candidates"]) nodes.push_back(candidate["node"]);
  ASSERT_EQ(nodes.size(), 8u);
  EXPECT_EQ(nodes[0], d.candidates[5].endpoint);
  for (size_t i = 1; i < 8; ++i) EXPECT_EQ(nodes[i], d.candidates[56 + i].endpoint);
}

// It is sent in an HTTP header.
TEST(RouteReceipt, IsAsciiWhateverTheModelsName) {
  RouteDecision d = decision("r");
  d.model = "mod\xC3\xA8le \xFF\r\n";
  for (char c : route_receipt(d)) EXPECT_TRUE(c >= ' ' && c <= '~');
}

}  // namespace
}  // namespace lockstep
