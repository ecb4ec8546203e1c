// Cache receipts and the cache report: hits, and every reason for a miss.
#include "node/engine/sequence/cache_receipt.h"

#include <gtest/gtest.h>

#include "node/engine/report/cache_report.h"
#include "tests/support/tokens.h"
#include "tests/unit/engine/harness.h"

namespace lockstep {
namespace {

using namespace std::chrono_literals;
using testing::CoreHarness;
using testing::counting;
using testing::request_of;
using testing::small_config;

// Block size 4; every request ends after one output token.
class CacheReceiptTest : public ::testing::Test {
 protected:
  explicit CacheReceiptTest(const EngineConfig& config = small_config()) : node(config) {
    node.sink.after = [this](const EventBatch& batch) {
      for (const RequestEnd& end : batch.ends) receipts[raw(end.request)] = end.cache.value();
    };
  }
  CacheReceipt ask(std::vector<int32_t> prompt, const std::string& salt = {}, bool cached = true) {
    GenerationRequest request = request_of(++last_id, std::move(prompt), 1);
    request.sampling.cache_salt = salt;
    request.sampling.cache_prompt = cached;
    EXPECT_TRUE(node.accept(std::move(request)));
    node.run();
    return receipts.at(last_id);
  }
  CacheReport report(int32_t n_first_tokens = 0) const {
    return make_cache_report(node.core, {.n_first_tokens = n_first_tokens});
  }

  CoreHarness node;
  std::map<uint64_t, CacheReceipt> receipts;
  uint64_t last_id = 0;
};

TEST_F(CacheReceiptTest, APromptThatWasNotAskedBeforeWasNeverSeen) {
  const CacheReceipt receipt = ask(counting(1, 12));
  EXPECT_EQ(receipt.outcome, CacheOutcome::kNeverSeen);
  EXPECT_EQ(receipt.n_matched, 0);
  EXPECT_EQ(receipt.first_divergent, 0);
}

TEST_F(CacheReceiptTest, TheSameAgainIsAHit) {
  ask(counting(1, 13));
  const CacheReceipt receipt = ask(counting(1, 13));
  EXPECT_EQ(receipt.outcome, CacheOutcome::kHit);
  EXPECT_EQ(receipt.n_matched, 12);
  EXPECT_EQ(receipt.first_divergent, 13);
}

TEST_F(CacheReceiptTest, APartialMatchNamesTheFirstTokenThatDiffers) {
  ask(counting(1, 12));
  std::vector<int32_t> prompt = counting(1, 12);
  prompt[6] = 99;
  const CacheReceipt receipt = ask(prompt);
  EXPECT_EQ(receipt.outcome, CacheOutcome::kNeverSeen);
  EXPECT_GE(receipt.n_matched, 4);
  EXPECT_EQ(receipt.first_divergent, 6);
}

TEST_F(CacheReceiptTest, AnotherSaltReadsAsNeverSeen) {
  ask(counting(1, 12), "a");
  for (const char* salt : {"b", ""}) {
    const CacheReceipt receipt = ask(counting(1, 12), salt);
    EXPECT_EQ(receipt.outcome, CacheOutcome::kNeverSeen);
    EXPECT_EQ(receipt.first_divergent, 0);
  }
}

TEST_F(CacheReceiptTest, WhatWasEvictedSaysWhen) {
  ask(counting(1, 13));
  node.clock.advance(5s);
  for (int32_t i = 1; i <= 6; ++i) ask(counting(30 * i, 60));
  node.clock.advance(3s);
  const CacheReceipt receipt = ask(counting(1, 13));
  EXPECT_EQ(receipt.outcome, CacheOutcome::kEvicted);
  EXPECT_EQ(receipt.n_matched, 0);
  EXPECT_EQ(receipt.evicted_for, 3s);
}

TEST_F(CacheReceiptTest, ARequestWithoutCacheSaysSo) {
  ask(counting(1, 12));
  EXPECT_EQ(ask(counting(1, 12), "", false).outcome, CacheOutcome::kOff);
}

TEST(CacheReceipt, WhatNeverRanHasNone) {
  EngineConfig config = small_config();
  config.limits.max_seqs = 1;
  CoreHarness node(config);
  bool has_receipt = true;
  node.sink.after = [&](const EventBatch& batch) {
    for (const RequestEnd& end : batch.ends) {
      if (end.request == RequestId{2}) has_receipt = end.cache.has_value();
    }
  };
  ASSERT_TRUE(node.accept(request_of(1, counting(1, 8), 4)));
  ASSERT_TRUE(node.accept(request_of(2, counting(50, 8), 4)));
  node.turn();
  node.core.cancel(RequestId{2});  // still waits
  EXPECT_FALSE(has_receipt);
  node.run();
}

TEST(CacheReceipt, APrefixThatAnotherIsComputingIsNotCommittedYet) {
  EngineConfig config = small_config();
  config.limits.max_tokens = 2;
  config.limits.max_model_len = 512;
  config.n_kv_blocks = 200;
  CoreHarness node(config);
  std::map<uint64_t, CacheReceipt> receipts;
  node.sink.after = [&](const EventBatch& batch) {
    for (const RequestEnd& end : batch.ends) receipts[raw(end.request)] = end.cache.value();
  };
  // 200 tokens take 100 steps; a sequence is deferred for at most 64. The second prompt is shorter,
  // so it is considered at once.
  std::vector<int32_t> longer = counting(1, 200);
  longer.resize(500, 7);
  ASSERT_TRUE(node.accept(request_of(1, longer, 1)));
  ASSERT_TRUE(node.accept(request_of(2, counting(1, 200), 1)));
  node.run();
  EXPECT_EQ(receipts.at(2).outcome, CacheOutcome::kNotCommitted);
}

TEST_F(CacheReceiptTest, TheReportNamesThePrefixThatIsSharedMost) {
  const std::vector<int32_t> system = counting(1, 8);
  for (int32_t i = 0; i < 5; ++i) {
    std::vector<int32_t> prompt = system;
    for (int32_t j = 0; j < 8; ++j) prompt.push_back(100 + 10 * i + j);
    ask(prompt, "", true);
    node.clock.advance(1s);
  }
  ask(counting(150, 8), "salt");
  const CacheReport got = report(6);
  EXPECT_TRUE(got.is_enabled);
  EXPECT_EQ(got.block_size, 4);
  EXPECT_EQ(got.n_indexed, 2 + 5 * 2 + 2);
  ASSERT_EQ(got.prefixes.size(), 1u);
  const HotPrefix& hot = got.prefixes[0];
  EXPECT_EQ(hot.n_hits, 4u);
  EXPECT_EQ(hot.n_blocks, 2);
  EXPECT_EQ(hot.n_children, 5);
  EXPECT_EQ(hot.first_tokens, counting(1, 6));
  EXPECT_EQ(node.clock.now() - hot.last_used, 1s);
  ASSERT_EQ(got.keys.size(), 2u);
  EXPECT_FALSE(got.keys[0].has_salt);
  EXPECT_EQ(got.keys[0].n_blocks, 12);
  EXPECT_TRUE(got.keys[1].has_salt);
  EXPECT_TRUE(report().prefixes[0].first_tokens.empty());  // unless requested
}

TEST_F(CacheReceiptTest, HitsOfAPrefixThatIsGoneAreNotItsSuccessors) {
  ask(counting(1, 8));
  ask(counting(1, 8));
  for (int32_t i = 1; i <= 6; ++i) ask(counting(30 * i, 60));
  for (const HotPrefix& hot : report().prefixes) EXPECT_GT(hot.n_blocks, 0);
  EXPECT_TRUE(std::ranges::none_of(report().prefixes,
                                   [](const HotPrefix& hot) { return hot.n_blocks == 1; }));
}

}  // namespace
}  // namespace lockstep
