// An allocator that refuses: the request that asked waits, no request fails, and once the allocator
// succeeds again no answer and no account shows the refusals.
#include <gtest/gtest.h>

#include "common/fault_points.h"
#include "tests/faults/refused_blocks.h"
#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

// Every account is checked after each turn, and NullExecutor reads every block back.
class RefusedAccounts : public ::testing::TestWithParam<int> {
 protected:
  EngineConfig config() const {
    EngineConfig config = small_config(GetParam());
    config.limits.max_model_len = 128;
    config.n_kv_blocks = 40;  // of 4 tokens; a last turn takes 30
    return config;
  }
  static Conversations talk(CoreHarness& h) {
    const auto ask = [&](uint64_t id, const std::vector<int32_t>& prompt) {
      EXPECT_TRUE(h.accept(request_of(id, prompt, n_answer_tokens(id))));
    };
    const auto answer_of = [&](uint64_t id) -> const std::vector<int32_t>* {
      const auto end = h.sink.ends.find(RequestId{id});
      if (end == h.sink.ends.end()) return nullptr;
      EXPECT_EQ(end->second.reason, FinishReason::kLength) << end->second.message;
      EXPECT_LT(end->second.usage.cached_tokens, end->second.usage.prompt_tokens);
      return &h.choice(id).ids;
    };
    return converse(h.tokenizer.vocab_size(), ask, answer_of, [&] { h.turn(); });
  }
};
INSTANTIATE_TEST_SUITE_P(StepsInFlight, RefusedAccounts, ::testing::Values(1, 2));

TEST_P(RefusedAccounts, OneRefusalWhereverItFallsMakesASequenceWait) {
  CoreHarness healthy(config());
  const Conversations expected = talk(healthy);
  EXPECT_GT(healthy.core.snapshot().n_preemptions + healthy.core.snapshot().n_blocks_evicted, 0u);
  uint64_t n_fired = 0, n_requeued = 0;
  for (uint64_t k = 1; k <= kCalls; ++k) {
    SCOPED_TRACE("call " + std::to_string(k));
    CoreHarness h(config());
    {
      const ArmedFault refusal(Fault::kAllocatorRefuses, k);
      ASSERT_EQ(talk(h), expected);
      n_fired += refusal.n_fired();
      n_requeued += h.core.snapshot().n_preemptions > healthy.core.snapshot().n_preemptions;
    }
    h.expect_empty();
    expect_nothing_in_use(h.core.snapshot());
    const uint64_t last = 100 * kClients + kTurns;
    ASSERT_TRUE(h.accept(request_of(7, expected.prompts.at(last), n_answer_tokens(last))));
    h.run();
    const Transcript again = h.choice(7);
    CoreHarness solo(config());
    ASSERT_TRUE(solo.accept(request_of(7, expected.prompts.at(last), n_answer_tokens(last))));
    solo.run();
    EXPECT_EQ(again, solo.choice(7));
  }
  EXPECT_EQ(n_fired, kCalls) << "the load asks less often";
  EXPECT_GT(n_requeued, 0u) << "no decode was refused its next block";
}

TEST_P(RefusedAccounts, WhileItRefusesAllNoRequestFailsAndThenAllGoOn) {
  CoreHarness healthy(config());
  const Conversations expected = talk(healthy);
  for (uint64_t first : {1, 40, 90}) {
    CoreHarness h(config());
    const ArmedFault refusal(Fault::kAllocatorRefuses, {first, first + 300});
    EXPECT_EQ(talk(h), expected) << "from call " << first;
    EXPECT_EQ(refusal.n_fired(), 301u);
    h.expect_empty();
    expect_nothing_in_use(h.core.snapshot());
  }
}

TEST(RefusedBlocks, NoBitOfAnAnswerChanges) { expect_no_bit_changes(33); }

}  // namespace
}  // namespace lockstep::testing
