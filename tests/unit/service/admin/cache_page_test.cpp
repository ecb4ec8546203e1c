// GET /v1/cache and receipts of a node with a null model.
#include "node/service/admin/cache_page.h"

#include <gtest/gtest.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/node_harness.h"

namespace lockstep {
namespace {

using nlohmann::json;
using testing::NodeHarness;
using testing::WirePeer;

wire::Done ask(NodeHarness& node, const std::string& prompt, const std::string& salt = {}) {
  WirePeer peer(node.endpoint());
  wire::Generate request = NodeHarness::request("r", 2);
  request.prompt_text = prompt;
  request.cache_salt = salt;
  peer.send(request);
  return peer.expect<wire::Done>();
}

const std::string kSystem(48, 's');  // three blocks

TEST(CachePage, ShowsOccupancyAndThePrefixesThatAreReused) {
  NodeHarness node;
  for (char c : {'a', 'b', 'c'}) ask(node, kSystem + std::string(20, c));
  ask(node, std::string(40, 'x'), "tea");
  const json page = json::parse(node.cache_page());
  EXPECT_EQ(page["model"], "null");
  EXPECT_EQ(page["block_size"], 16);
  EXPECT_EQ(page["prefix_cache"], true);
  const json& blocks = page["blocks"];
  EXPECT_EQ(blocks["total"], 64);
  EXPECT_EQ(blocks["free"].get<int>() + blocks["cached"].get<int>() + blocks["active"].get<int>(),
            64);
  EXPECT_EQ(page["indexed_blocks"], 3 + 3 + 2);
  EXPECT_EQ(page["salts"]["count"], 2);
  EXPECT_EQ(page["salts"]["largest"][0]["salt_hash"], nullptr);
  EXPECT_EQ(page["salts"]["largest"][1]["blocks"], 2);
  EXPECT_EQ(page["tenants"][0]["name"], "default");
  EXPECT_EQ(page["tenants"][0]["cached"], blocks["cached"]);
  ASSERT_EQ(page["prefixes"].size(), 1u);
  const json& hot = page["prefixes"][0];
  EXPECT_EQ(hot["hits"], 2);
  EXPECT_EQ(hot["tokens"], 48);
  EXPECT_EQ(hot["children"], 3);
  EXPECT_FALSE(hot.contains("text"));
  EXPECT_EQ(node.cache_page().find("sss"), std::string::npos);
}

TEST(CachePage, PromptsAreShownOnlyIfThatWasAskedForAtTheStart) {
  NodeHarness node;
  ask(node, kSystem + "a b c");
  ask(node, kSystem + "d e f");
  const json page = json::parse(node.cache_page(/*with_text=*/true));
  EXPECT_EQ(page["prefixes"][0]["text"], kSystem);
}

TEST(CachePage, WhileALongStepRunsThereIsTheReportOfBefore) {
  NodeHarness node;
  CachePage page(node.model(), node.clock(), false);
  EXPECT_EQ(NodeHarness::wait_page(page).status, 200);
  node.executor().hold();
  WirePeer peer(node.endpoint());
  peer.send(NodeHarness::request("r", 4));
  node.executor().wait_until_stalled();
  std::atomic<int> n_replies{0};
  for (int i = 0; i < 3; ++i) page.get([&](const AdminAnswer&) { ++n_replies; });
  const AdminResponse answer = page.latest();  // as it was before the step that does not end
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(json::parse(answer.body)["indexed_blocks"], 0);
  EXPECT_EQ(n_replies, 0);
  node.executor().release();
  peer.expect<wire::Done>();
  while (n_replies < 3) std::this_thread::yield();
}

TEST(CachePage, ANodeThatWasNeverAskedAndIsBusySaysSo) {
  NodeHarness node;
  node.executor().hold();
  WirePeer peer(node.endpoint());
  peer.send(NodeHarness::request("r", 3));
  node.executor().wait_until_stalled();
  CachePage page(node.model(), node.clock(), false);
  page.get([](const AdminAnswer&) {});
  EXPECT_EQ(page.latest().status, 503);
  node.executor().release();
  peer.expect<wire::Done>();
}

// The file system takes any bytes as a name; this is the last line behind the check at start.
TEST(CachePage, AModelNameThatIsNoTextIsShownAndEndsNothing) {
  NodeHarness node;
  ServedModel model = node.model();
  model.name = "m\xff";
  CachePage page(model, node.clock(), false);
  const AdminResponse answer = NodeHarness::wait_page(page);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(json::parse(answer.body)["model"], "m\xef\xbf\xbd");
}

TEST(CacheReceiptOnTheWire, EveryRequestThatRanHasOne) {
  NodeHarness node;
  const auto first = ask(node, kSystem + "a").cache_receipt;
  ASSERT_TRUE(first);
  EXPECT_EQ(first->outcome, "never_seen");
  EXPECT_EQ(first->matched_tokens, 0u);
  EXPECT_FALSE(first->evicted_seconds);
  const auto second = ask(node, kSystem + "a").cache_receipt;
  ASSERT_TRUE(second);
  EXPECT_EQ(second->outcome, "hit");
  EXPECT_EQ(second->matched_tokens, 48u);
  EXPECT_EQ(second->divergent_at, 49u);
  EXPECT_EQ(ask(node, kSystem + "a", "tea").cache_receipt->outcome, "never_seen");
}

}  // namespace
}  // namespace lockstep
