// The prefix cache seen from the engine: what a request finds there, what it publishes, and that no
// token depends on it. NullExecutor fails where a page or a row of token_ids does not hold what it
// should.
#include <gtest/gtest.h>

#include "node/engine/report/cache_control.h"
#include "tests/support/random.h"
#include "tests/support/tokens.h"
#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

uint64_t cached_tokens(const CoreHarness& h, uint64_t id) {
  return h.ending(id).usage.cached_tokens;
}

// Block size 4 throughout (small_config).
TEST(PrefixReuse, ASecondEqualPromptIsReadFromTheCacheButForItsLastToken) {
  CoreHarness h(small_config());
  for (uint64_t id : {1, 2}) {
    ASSERT_TRUE(h.accept(request_of(id, counting(1, 12), 3)));
    h.run();
  }
  EXPECT_EQ(cached_tokens(h, 1), 0u);
  EXPECT_EQ(cached_tokens(h, 2), 11u);  // 12 would leave nothing to forward
  EXPECT_EQ(h.core.snapshot().n_cached_tokens, 11u);
  EXPECT_EQ(h.core.snapshot().n_prompt_tokens, 24u);
  EXPECT_EQ(h.core.snapshot().n_query_rows, (12u + 2u) + (1u + 2u));
  EXPECT_EQ(h.core.snapshot().n_lookup_tokens, 24u);
  EXPECT_EQ(h.core.snapshot().n_hit_tokens, 11u);
}

TEST(PrefixReuse, ATurnGoesOnFromThePromptAndTheAnswerBeforeIt) {
  CoreHarness h(small_config());
  ASSERT_TRUE(h.accept(request_of(1, counting(1, 10), 7)));
  h.run();
  const std::vector<int32_t> answer = h.choice(1).ids;
  ASSERT_TRUE(h.accept(request_of(2, counting(1, 10) + answer + counting(40, 3), 4)));
  h.run();
  // 16 of 17 tokens of the first turn were forwarded: the last output never was.
  EXPECT_EQ(cached_tokens(h, 2), 16u);
  // The third turn also finds what the second one added to the chain that both share.
  const std::vector<int32_t> first_turns = counting(1, 10) + answer + counting(40, 3);
  ASSERT_TRUE(h.accept(request_of(3, first_turns + h.choice(2).ids + counting(50, 2), 1)));
  h.run();
  EXPECT_EQ(cached_tokens(h, 3), 20u);  // of 23 forwarded
}

TEST(PrefixReuse, WhatIsEqualFromTheBeginningIsSharedToTheToken) {
  CoreHarness h(small_config());
  ASSERT_TRUE(h.accept(request_of(1, counting(1, 12), 1)));
  h.run();
  std::vector<int32_t> other = counting(1, 12);
  other[5] = 99;
  ASSERT_TRUE(h.accept(request_of(2, other, 1)));
  h.run();
  EXPECT_EQ(cached_tokens(h, 2), 5u);              // a block, and the head of the next
  std::vector<int32_t> shifted = counting(5, 12);  // its first block is the other's second
  ASSERT_TRUE(h.accept(request_of(3, shifted, 1)));
  h.run();
  EXPECT_EQ(cached_tokens(h, 3), 0u);
}

// The head of a block is copied: the original's owner continues with the original, and the new
// sequence's tokens follow the copy. NullExecutor detects it if either is overwritten.
TEST(PrefixReuse, TheHeadOfABlockIsCopiedAtEveryOffset) {
  for (int32_t n_equal = 1; n_equal <= 20; ++n_equal) {
    for (int depth : {1, 2}) {
      EngineConfig config = small_config(depth);
      CoreHarness h(config);
      ASSERT_TRUE(h.accept(request_of(1, counting(1, 24), 20)));
      for (int i = 0; i < 4; ++i) h.turn();  // it has published its prompt and decodes
      std::vector<int32_t> other = counting(1, n_equal) + counting(100, 5);
      ASSERT_TRUE(h.accept(request_of(2, other, 8)));
      h.run();
      EXPECT_EQ(cached_tokens(h, 2), static_cast<uint64_t>(n_equal));
      EngineConfig plain = config;
      plain.prefix_cache = false;
      CoreHarness solo(plain);
      ASSERT_TRUE(solo.accept(request_of(1, counting(1, 24), 20)));
      ASSERT_TRUE(solo.accept(request_of(2, other, 8)));
      solo.run();
      EXPECT_EQ(h.choice(1), solo.choice(1));
      EXPECT_EQ(h.choice(2), solo.choice(2)) << n_equal;
    }
  }
}

TEST(PrefixReuse, ACopyWhoseStepFailedIsMadeAgain) {
  for (int depth : {1, 2}) {
    EngineConfig config = small_config(depth);
    NullExecutor::Options options = executor_options(config);
    CoreHarness first(config, options);
    ASSERT_TRUE(first.accept(request_of(1, counting(1, 12), 1)));
    first.run();
    options.fail_step = first.core.snapshot().n_steps + 1;
    CoreHarness h(config, options);
    ASSERT_TRUE(h.accept(request_of(1, counting(1, 12), 1)));
    h.run();
    ASSERT_TRUE(h.accept(request_of(2, counting(1, 10) + counting(90, 4), 6)));
    h.run();
    EXPECT_EQ(h.core.snapshot().decode_failures.n_retried_in_all(), 1u);
    EXPECT_EQ(cached_tokens(h, 2), 10u);
    CoreHarness solo(config);
    ASSERT_TRUE(solo.accept(request_of(2, counting(1, 10) + counting(90, 4), 6)));
    solo.run();
    EXPECT_EQ(h.choice(2), solo.choice(2));
  }
}

// The pool has no block to spare beside the original: whole blocks are shared and the rest
// computed.
TEST(PrefixReuse, WithoutRoomForACopyTheTokensAreComputed) {
  EngineConfig config = small_config();
  config.n_kv_blocks = 4;
  CoreHarness h(config);
  ASSERT_TRUE(h.accept(request_of(1, counting(1, 12), 1)));
  h.run();
  ASSERT_TRUE(h.accept(request_of(2, counting(1, 10) + counting(90, 4), 2)));
  h.run();
  EXPECT_EQ(cached_tokens(h, 2), 8u);
}

TEST(PrefixReuse, SaltsDoNotShare) {
  CoreHarness h(small_config());
  const auto ask = [&](uint64_t id, const char* salt) {
    GenerationRequest request = request_of(id, counting(1, 12), 1);
    request.sampling.cache_salt = salt;
    EXPECT_TRUE(h.accept(std::move(request)));
    h.run();
    return cached_tokens(h, id);
  };
  EXPECT_EQ(ask(1, "a"), 0u);
  EXPECT_EQ(ask(2, "b"), 0u);
  EXPECT_EQ(ask(3, ""), 0u);
  EXPECT_EQ(ask(4, "a"), 11u);
  EXPECT_EQ(ask(5, "b"), 11u);
}

TEST(PrefixReuse, WithoutCachePromptNothingIsReadAndNothingLeft) {
  CoreHarness h(small_config());
  const auto ask = [&](uint64_t id, bool cache_prompt) {
    GenerationRequest request = request_of(id, counting(1, 12), 1);
    request.sampling.cache_prompt = cache_prompt;
    EXPECT_TRUE(h.accept(std::move(request)));
    h.run();
    return cached_tokens(h, id);
  };
  EXPECT_EQ(ask(1, false), 0u);
  EXPECT_EQ(h.core.snapshot().n_blocks_cached, 0);
  EXPECT_EQ(ask(2, true), 0u);
  EXPECT_EQ(ask(3, false), 0u);
  EXPECT_EQ(ask(4, true), 11u);
}

TEST(PrefixReuse, SwitchedOffThePoolIsEmptyWhenIdle) {
  EngineConfig config = small_config();
  config.prefix_cache = false;
  CoreHarness h(config);
  for (uint64_t id : {1, 2}) {
    ASSERT_TRUE(h.accept(request_of(id, counting(1, 12), 3)));
    h.run();
    EXPECT_EQ(cached_tokens(h, id), 0u);
    EXPECT_EQ(h.core.snapshot().n_blocks_free, h.core.snapshot().n_blocks_total);
  }
}

TEST(PrefixReuse, TheChoicesOfARequestShareItsPrompt) {
  CoreHarness h(small_config());
  GenerationRequest request = request_of(1, counting(1, 14), 4);
  request.sampling.n = 3;
  ASSERT_TRUE(h.accept(std::move(request)));
  h.run();
  // The second and third were deferred, then forwarded the last two prompt tokens each.
  EXPECT_EQ(h.core.snapshot().n_query_rows, (14u + 3u) + 2 * (2u + 3u));
  EXPECT_EQ(cached_tokens(h, 1), 0u);  // of the request's own first prefill
  CoreHarness alone(small_config());
  GenerationRequest uncached = request_of(1, counting(1, 14), 4);
  uncached.sampling.n = 3;
  uncached.sampling.cache_prompt = false;
  ASSERT_TRUE(alone.accept(std::move(uncached)));
  alone.run();
  for (uint32_t choice = 0; choice < 3; ++choice) {
    EXPECT_TRUE(h.choice(1, choice) == alone.choice(1, choice));
  }
}

TEST(PrefixReuse, TwoThatArriveTogetherComputeTheirPrefixOnce) {
  CoreHarness h(small_config());
  ASSERT_TRUE(h.accept(request_of(1, counting(1, 24) + counting(80, 2), 2)));
  ASSERT_TRUE(h.accept(request_of(2, counting(1, 24) + counting(90, 2), 2)));
  ASSERT_TRUE(h.accept(request_of(3, counting(50, 6), 2)));  // overtakes the deferred one
  h.run();
  EXPECT_EQ(cached_tokens(h, 1) + cached_tokens(h, 2), 24u);
  EXPECT_EQ(cached_tokens(h, 3), 0u);
}

// Shared blocks are published with the chunk that holds them, long before the first token.
TEST(PrefixReuse, AShortPrefixOfALongPromptIsThereWithItsChunk) {
  CoreHarness h(small_config());
  ASSERT_TRUE(h.accept(request_of(1, counting(1, 42), 2)));
  ASSERT_TRUE(h.accept(request_of(2, counting(1, 5) + counting(90, 3), 2)));
  h.run();
  EXPECT_EQ(cached_tokens(h, 2), 5u);
  CoreHarness other(small_config());
  ASSERT_TRUE(other.accept(request_of(1, counting(1, 42), 2)));
  ASSERT_TRUE(other.accept(request_of(2, counting(1, 9) + counting(90, 3), 2)));
  other.run();
  EXPECT_EQ(cached_tokens(other, 2), 9u);
}

TEST(PrefixReuse, ADeferredRequestGoesOnWhenTheOtherIsCancelled) {
  CoreHarness h(small_config());
  ASSERT_TRUE(h.accept(request_of(1, counting(1, 40), 2)));
  ASSERT_TRUE(h.accept(request_of(2, counting(1, 40), 2)));
  h.turn();
  h.core.cancel(RequestId{1});
  h.run();
  EXPECT_EQ(h.ending(2).reason, FinishReason::kLength);
}

TEST(PrefixReuse, WhatIsOldestIsEvictedForWhoNeedsRoom) {
  EngineConfig config = small_config();
  config.n_kv_blocks = 8;
  CoreHarness h(config);
  const auto ask = [&](uint64_t id, int32_t first) {
    EXPECT_TRUE(h.accept(request_of(id, counting(first, 12), 1)));
    h.run();
    return cached_tokens(h, id);
  };
  EXPECT_EQ(ask(1, 1), 0u);    // leaves 3 blocks
  EXPECT_EQ(ask(2, 101), 0u);  // and 3 more: 6 of 8
  EXPECT_EQ(ask(3, 1), 11u);   // used again
  EXPECT_EQ(ask(4, 201), 0u);  // needs 4, 2 are free: the end of the second one is evicted
  EXPECT_GT(h.core.snapshot().n_blocks_evicted, 0u);
  EXPECT_EQ(ask(5, 1), 11u);
  EXPECT_LT(ask(6, 101), 8u);
}

TEST(PrefixReuse, APoisonedSequenceLeavesNothingBehind) {
  auto options = executor_options(small_config());
  options.poison_token = 77;
  CoreHarness h(small_config(), options);
  std::vector<int32_t> prompt = counting(1, 12);
  prompt[2] = 77;
  ASSERT_TRUE(h.accept(request_of(1, prompt, 4)));
  h.run();
  EXPECT_EQ(h.ending(1).reason, FinishReason::kError);
  EXPECT_EQ(h.core.snapshot().n_blocks_cached, 0);
}

// A penalty counts the tokens of the whole prompt, including cached ones, which have no row: the
// executor compares token_ids and pages.
TEST(PrefixReuse, TheHistoryKnowsTheTokensThatWereNotForwarded) {
  CoreHarness h(small_config());
  for (uint64_t id : {1, 2, 3}) {
    ASSERT_TRUE(h.accept(request_of(id, counting(static_cast<int32_t>(id % 2) * 50 + 1, 20), 6)));
    ASSERT_TRUE(h.accept(request_of(id + 10, counting(1, 20), 6)));
    h.run();
  }
  EXPECT_EQ(cached_tokens(h, 13), 19u);
}

// Conversations, branches and unrelated prompts in a pool of a third of what they need, with one
// and with two steps in flight: the output of each equals the one it has alone and uncached.
TEST(PrefixReuse, NoTokenDependsOnTheCache) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SeededRandom random(seed);
    EngineConfig config = small_config(static_cast<int>(seed % 2) + 1);
    config.n_kv_blocks = static_cast<int32_t>(random.integer(16, 40));
    CoreHarness h(config);
    EngineConfig plain = small_config();
    plain.prefix_cache = false;
    std::vector<std::vector<int32_t>> said = {{}};
    uint64_t id = 0;
    for (int round = 0; round < 30; ++round) {
      std::vector<GenerationRequest> requests;
      for (int64_t i = random.integer(1, 4); i > 0; --i) {
        std::vector<int32_t> prompt =
            said[static_cast<size_t>(random.integer(0, std::ssize(said) - 1))];
        if (prompt.size() > 40) prompt.resize(static_cast<size_t>(random.integer(1, 40)));
        for (int64_t n = random.integer(1, 9); n > 0; --n) {
          prompt.push_back(static_cast<int32_t>(random.integer(0, 60)));
        }
        requests.push_back(request_of(++id, prompt, static_cast<int32_t>(random.integer(1, 12))));
        requests.back().sampling.n = static_cast<int32_t>(random.integer(1, 2));
        requests.back().sampling.cache_prompt = random.chance(0.9);
        if (random.chance(0.2)) requests.back().sampling.cache_salt = "s";
      }
      for (const GenerationRequest& request : requests) ASSERT_TRUE(h.accept(request));
      for (int64_t n = random.integer(0, 3); n > 0; --n) h.turn();
      const bool cancels = random.chance(0.2);
      if (cancels) h.core.cancel(requests.front().id);
      h.run();
      for (const GenerationRequest& request : requests) {
        if (h.ending(static_cast<uint64_t>(request.id)).reason == FinishReason::kCancelled)
          continue;
        CoreHarness solo(plain);
        ASSERT_TRUE(solo.accept(request));
        solo.run();
        for (uint32_t c = 0; c < static_cast<uint32_t>(request.sampling.n); ++c) {
          const uint64_t number = static_cast<uint64_t>(request.id);
          ASSERT_TRUE(h.choice(number, c) == solo.choice(number, c)) << "request " << number;
        }
        said.push_back(request.prompt + h.choice(static_cast<uint64_t>(request.id)).ids);
      }
    }
    const EngineSnapshot s = h.core.snapshot();
    EXPECT_GT(s.n_cached_tokens, 0u);
    EXPECT_LT(s.n_cached_tokens, s.n_prompt_tokens);
  }
}

// Cached tokens of a long prompt after twelve short ones have ended, in a pool that cannot hold
// all, when a key costs so much relative to a row.
uint64_t n_left_of_a_long_prompt(std::chrono::microseconds per_key) {
  EngineConfig config = small_config();
  config.n_kv_blocks = 20;
  config.eviction_policy = EvictionPolicy::kGdsf;
  CoreHarness h(config);
  h.executor.on_submit = [&](const StepPlanView& plan) {
    for (int32_t position : plan.positions()) {
      h.clock.advance(std::chrono::milliseconds(1) + (position + 1) * per_key);
    }
  };
  const auto ask = [&](uint64_t id, std::vector<int32_t> prompt, int32_t n_outputs) {
    EXPECT_TRUE(h.accept(request_of(id, std::move(prompt), n_outputs)));
    h.run();
  };
  for (uint64_t id = 1; id <= 4; ++id) ask(id, {5}, 32);  // so many steps have been timed
  clear_kv_cache(h.core, {});
  ask(10, counting(1, 48), 1);
  for (int32_t i = 0; i < 12; ++i) ask(11 + static_cast<uint64_t>(i), counting(50 + i, 5), 1);
  ask(100, counting(1, 48), 1);
  return h.ending(100).usage.cached_tokens;
}

TEST(PrefixReuse, WhatIsDeepIsWorthMoreOnceStepsHaveBeenTimed) {
  EXPECT_EQ(n_left_of_a_long_prompt(std::chrono::milliseconds(1)), 47u);
  EXPECT_LT(n_left_of_a_long_prompt(std::chrono::milliseconds(0)), 47u);
}

}  // namespace
}  // namespace lockstep::testing
