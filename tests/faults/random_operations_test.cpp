// 2,000 random operations: requests come and are cancelled, the cache is cleared, the allocator
// refuses, ranks throw, contexts are cut. Whatever happens, the accounts of cached tokens hold.
// Seeds are printed.
#include <gtest/gtest.h>

#include <optional>

#include "common/fault_points.h"
#include "tests/support/random.h"
#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

EngineConfig random_config(SeededRandom& random, int depth) {
  EngineConfig config = small_config(depth);
  config.limits.max_tokens = static_cast<int32_t>(random.integer(6, 24));
  config.limits.block_size = 1 << random.integer(0, 3);
  config.limits.max_banned = max_banned_ids(config.limits.max_seqs, FakeTokenizer());
  config.context_shift = random.chance(0.5);
  config.n_keep = config.context_shift ? static_cast<int32_t>(random.integer(-1, 20)) : 0;
  const int32_t n_least = config.context_shift ? config.limits.max_model_len : 50;
  config.n_kv_blocks = n_blocks_for(random.integer(n_least, 90), config.limits.block_size);
  return config;
}

// Few different prompts, so that much is shared.
std::vector<int32_t> random_prompt(SeededRandom& random) {
  std::vector<int32_t> prompt(static_cast<size_t>(random.integer(1, 32)));
  const int64_t kind = random.integer(0, 3);
  for (size_t i = 0; i < prompt.size(); ++i) prompt[i] = static_cast<int32_t>(kind + i % 5);
  return prompt;
}

std::vector<uint64_t> counters(const EngineSnapshot& s) {
  return {s.n_steps,
          s.n_blocks_evicted,
          s.n_regret_tokens,
          s.n_preemptions,
          s.n_prompt_tokens,
          s.n_cached_tokens,
          s.n_recomputed_tokens,
          s.n_output_tokens,
          s.n_stopped,
          s.n_length,
          s.n_cancelled,
          s.n_failed,
          s.n_lookup_tokens,
          s.n_hit_tokens,
          s.n_context_shifts,
          s.n_tokens_after_shift,
          s.n_query_rows,
          s.n_invariant_violations()};
}

// With nothing going on beside it, what is not cached is forwarded, and nothing else.
void expect_rows_of_what_is_not_cached(CoreHarness& h, SeededRandom& random) {
  for (uint64_t id = 10'000; id < 10'020; ++id) {
    const uint64_t n_rows = h.core.snapshot().n_query_rows;
    ASSERT_TRUE(h.accept(request_of(id, random_prompt(random), 5)));
    h.run();
    const Usage& usage = h.ending(id).usage;
    EXPECT_EQ(usage.cached_tokens + (h.core.snapshot().n_query_rows - n_rows),
              usage.prompt_tokens + usage.completion_tokens - 1);
  }
}

class RandomOperations : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(StepsInFlight, RandomOperations, ::testing::Values(1, 2));

TEST_P(RandomOperations, CachedAndComputedTokensAreThePrompts) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    SeededRandom random(seed);
    CoreHarness h(random_config(random, GetParam()));
    std::map<RequestId, uint64_t> n_prompt;
    std::optional<ArmedFault> fault;
    std::vector<uint64_t> before = counters(h.core.snapshot());
    for (uint64_t op = 0; op < 2000; ++op) {
      const auto any_id = RequestId{static_cast<uint64_t>(random.integer(0, int64_t(op)))};
      if (random.chance(0.3)) {
        GenerationRequest request =
            request_of(op, random_prompt(random), static_cast<int32_t>(random.integer(1, 12)));
        request.sampling.cache_prompt = random.chance(0.9);
        if (h.config.context_shift && random.chance(0.1)) request.sampling.max_tokens = 100;
        n_prompt[RequestId{op}] = request.prompt.size();
        ASSERT_TRUE(h.accept(std::move(request)));
      } else if (random.chance(0.1)) {
        h.core.cancel(any_id);
      } else if (random.chance(0.03)) {
        h.core.cache().clear();
      } else if (random.chance(0.1)) {
        fault.reset();
        const uint64_t step =
            h.core.snapshot().n_steps + static_cast<uint64_t>(random.integer(1, 4));
        if (random.chance(0.3)) {
          fault.emplace(Fault::kRankThrows, FaultRange{step, step + random.chance(0.2)});
        } else {
          fault.emplace(Fault::kAllocatorRefuses,
                        FaultRange{1, static_cast<uint64_t>(random.integer(1, 20))});
        }
      }
      h.turn();
      const EngineSnapshot s = h.core.snapshot();
      const std::vector<uint64_t> now = counters(s);
      for (size_t i = 0; i < now.size(); ++i) ASSERT_GE(now[i], before[i]) << "counter " << i;
      ASSERT_LE(s.n_cached_tokens, s.n_prompt_tokens);
      before = now;
    }
    fault.reset();
    h.run();
    ASSERT_EQ(h.sink.ends.size(), n_prompt.size());
    uint64_t n_prompt_tokens = 0, n_cached_tokens = 0;
    for (const auto& [id, end] : h.sink.ends) {
      ASSERT_EQ(end.usage.prompt_tokens, n_prompt.at(id));
      ASSERT_LT(end.usage.cached_tokens, end.usage.prompt_tokens);
      n_cached_tokens += end.usage.cached_tokens;
      n_prompt_tokens += end.usage.prompt_tokens;
    }
    const EngineSnapshot s = h.core.snapshot();
    EXPECT_EQ(s.n_cached_tokens, n_cached_tokens);
    EXPECT_GT(n_cached_tokens, 0u);
    EXPECT_EQ(s.n_context_shifts > 0, h.config.context_shift);
    EXPECT_LE(s.n_prompt_tokens, n_prompt_tokens) << "some were cancelled before they ran";
    expect_rows_of_what_is_not_cached(h, random);
  }
}

}  // namespace
}  // namespace lockstep::testing
