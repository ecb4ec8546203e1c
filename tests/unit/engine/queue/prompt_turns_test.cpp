// Prompts of one tenant: a short one does not wait for a long one, and the long one is late by a
// bounded factor, whatever arrives after it.
#include <gtest/gtest.h>

#include "tests/support/random.h"
#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

constexpr int32_t kRows = 16;

EngineConfig config_of(int32_t max_seqs, int32_t n_kv_blocks) {
  EngineConfig config = small_config();
  config.limits.max_tokens = kRows;
  config.limits.max_model_len = 1100;
  config.limits.max_seqs = config.limits.max_samples = max_seqs;
  config.limits.max_banned = max_seqs * (1 + kMaxStopTokenIds);
  config.n_kv_blocks = n_kv_blocks;
  config.reservation = ReservationMode::kGuaranteed;
  return config;
}

// No two prompts share a prefix.
GenerationRequest prompt_of(uint64_t id, int32_t n_tokens, int32_t max_tokens = 1) {
  std::vector<int32_t> prompt(static_cast<size_t>(n_tokens), 7);
  prompt.front() = static_cast<int32_t>(id % 250);
  GenerationRequest request = request_of(id, std::move(prompt), max_tokens);
  request.sampling.cache_prompt = false;
  return request;
}

struct PromptTurns : ::testing::Test {
  // Turns until the request has ended; at most `most`.
  static int turns_until_end(CoreHarness& h, uint64_t id, int most) {
    int n = 0;
    while (!h.sink.ends.contains(RequestId{id}) && n <= most) {
      h.turn();
      ++n;
    }
    return n;
  }
};

TEST_F(PromptTurns, AShortPromptDoesNotWaitForALongOne) {
  for (int depth : {1, 2}) {
    EngineConfig config = config_of(4, 400);
    config.max_steps_in_flight = depth;
    CoreHarness h(config);
    ASSERT_TRUE(h.accept(prompt_of(1, 1000)));
    for (int i = 0; i < 3; ++i) h.turn();
    ASSERT_TRUE(h.accept(prompt_of(2, 5)));
    EXPECT_LE(turns_until_end(h, 2, 100), 2 + depth);
    EXPECT_FALSE(h.sink.ends.contains(RequestId{1}));
    h.run();
  }
}

// The short prompt arrives behind a long one that runs and a long one that waits.
TEST_F(PromptTurns, AShortPromptDoesNotWaitForALongOneThatWaits) {
  CoreHarness h(config_of(4, 700));
  ASSERT_TRUE(h.accept(prompt_of(1, 1000)));
  ASSERT_TRUE(h.accept(prompt_of(2, 1000)));
  h.turn();
  ASSERT_TRUE(h.accept(prompt_of(3, 5)));
  EXPECT_LE(turns_until_end(h, 3, 100), 3);
  h.run();
}

// There are so many short prompts that they could take every row of every step.
TEST_F(PromptTurns, AFloodOfShortPromptsMakesALongOneAtMostTwiceAsLate) {
  constexpr int32_t kLong = 800;
  CoreHarness h(config_of(8, 400));
  ASSERT_TRUE(h.accept(prompt_of(1, kLong)));
  uint64_t id = 2;
  int n_turns = 0;
  for (; !h.sink.ends.contains(RequestId{1}); ++n_turns) {
    ASSERT_LE(n_turns, 2 * kLong / kRows + 2);
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(h.accept(prompt_of(id++, 7)));
    h.turn();
  }
  EXPECT_GT(n_turns, kLong / kRows + 2) << "the short ones had to wait";
  h.run();
}

// The bound holds for each of several long prompts, though the last one is never the shortest.
TEST_F(PromptTurns, EachPromptIsAtMostTwiceAsLateAsFirstComeFirstServedWouldHaveIt) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SeededRandom random(seed);
    CoreHarness h(config_of(6, 2000));
    std::map<uint64_t, int> due;  // by id: the turn by which it must have ended
    int32_t n_tokens_before = 0;
    uint64_t id = 0;
    for (; id < 6; ++id) {
      const auto n = static_cast<int32_t>(random.integer(50, 400));
      n_tokens_before += n;
      // A decode of each takes a row of the step that it ends with.
      due[id] = 2 * (n_tokens_before / kRows + 1) + 2 * static_cast<int>(id) + 2;
      ASSERT_TRUE(h.accept(prompt_of(id, n)));
    }
    for (int n_turns = 1; h.sink.ends.size() < due.size() || n_turns < 5; ++n_turns) {
      if (n_turns < 300) {
        ASSERT_TRUE(h.accept(prompt_of(1000 + static_cast<uint64_t>(n_turns), 14)));
      }
      h.turn();
      for (const auto& [who, turn] : due) {
        ASSERT_TRUE(n_turns < turn || h.sink.ends.contains(RequestId{who}))
            << "seed " << seed << ": prompt " << who << " in turn " << n_turns;
      }
      if (n_turns > due.rbegin()->second) break;
    }
    h.run();
  }
}

// For prompts of the same length, first come, first served is best for all.
TEST_F(PromptTurns, PromptsOfOneLengthAreServedInOrderOfArrival) {
  CoreHarness h(config_of(4, 400));
  std::vector<uint64_t> order;
  h.sink.after = [&](const EventBatch& batch) {
    for (const RequestEnd& end : batch.ends) order.push_back(raw(end.request));
  };
  for (uint64_t id = 1; id <= 4; ++id) ASSERT_TRUE(h.accept(prompt_of(id, 160)));
  h.run();
  EXPECT_EQ(order, (std::vector<uint64_t>{1, 2, 3, 4}));
  EXPECT_LE(h.core.snapshot().n_steps, 4u * 160 / kRows + 4);
}

TEST_F(PromptTurns, AShortPromptOfALowerPriorityWaits) {
  CoreHarness h(config_of(4, 400));
  ASSERT_TRUE(h.accept(prompt_of(1, 320)));
  h.turn();
  GenerationRequest later = prompt_of(2, 5);
  later.priority = 1;
  ASSERT_TRUE(h.accept(std::move(later)));
  h.turn();
  h.turn();
  EXPECT_EQ(h.core.scheduler().waiting().n_sequences(), 1);
  while (!h.sink.ends.contains(RequestId{1})) {
    EXPECT_FALSE(h.sink.ends.contains(RequestId{2}));
    h.turn();
  }
  h.run();
}

// Request 1: 21 blocks, runs. Request 2: 16 blocks, waits, and is longer than what 1 has left.
// Request 3: 2 blocks.
TEST_F(PromptTurns, AnOvertakingSequenceLeavesTheBlocksThatTheFirstInTheQueueNeeds) {
  for (int32_t n_blocks : {38, 39}) {
    CoreHarness h(config_of(4, n_blocks));
    ASSERT_TRUE(h.accept(prompt_of(1, 80, 4)));
    h.turn();
    ASSERT_TRUE(h.accept(prompt_of(2, 60, 2)));
    ASSERT_TRUE(h.accept(prompt_of(3, 6, 2)));
    for (int i = 0; i < 2; ++i) h.turn();
    EXPECT_EQ(h.core.scheduler().running().size(), n_blocks == 39 ? 2u : 1u);
    h.run();
  }
}

TEST_F(PromptTurns, AnOvertakingSequenceLeavesASlotForTheFirstInTheQueue) {
  for (int32_t max_seqs : {2, 3}) {
    CoreHarness h(config_of(max_seqs, 400));
    ASSERT_TRUE(h.accept(prompt_of(1, 80, 4)));
    h.turn();
    ASSERT_TRUE(h.accept(prompt_of(2, 60, 2)));
    ASSERT_TRUE(h.accept(prompt_of(3, 6, 8)));
    for (int i = 0; i < 2; ++i) h.turn();
    EXPECT_EQ(h.core.scheduler().running().size(), max_seqs == 3 ? 2u : 1u);
    h.run();
  }
}

// Most of a chat's next turn is in the cache, so it is short.
TEST_F(PromptTurns, WhatTheCacheHasDoesNotMakeAPromptLong) {
  CoreHarness h(config_of(4, 700));
  const auto chat = [](uint64_t id, int32_t n_tokens) {
    GenerationRequest request = prompt_of(id, n_tokens);
    request.prompt.front() = 9;
    request.sampling.cache_prompt = true;
    return request;
  };
  ASSERT_TRUE(h.accept(chat(1, 500)));
  h.run();
  ASSERT_TRUE(h.accept(prompt_of(2, 400)));
  h.turn();
  ASSERT_TRUE(h.accept(chat(3, 506)));
  EXPECT_LE(turns_until_end(h, 3, 100), 3);
  h.run();
}

}  // namespace
}  // namespace lockstep::testing
