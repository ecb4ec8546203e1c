// Scheduler: which sequences run, with how many tokens, and in which order they are admitted.
#include "node/engine/plan/scheduler.h"

#include <gtest/gtest.h>

#include <set>

#include "node/engine/checks/invariants.h"
#include "tests/support/random.h"
#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

// A scheduler whose sequences never end by themselves: every result is a token.
struct Line {
  Line(const StepLimits& limits, int32_t n_blocks)
      : pool(n_blocks),
        cache(pool, limits.block_size, /*enabled=*/false),
        scheduler(config_of(limits), pool, cache) {}
  ~Line() {
    for (auto& request : requests) {
      for (Choice& choice : request->choices) {
        if (choice.sequence.is_open()) (void)scheduler.retire(choice.sequence);
      }
    }
  }

  // An admitted sequence is not preempted, unless a test changes the configuration.
  static EngineConfig config_of(const StepLimits& limits) {
    EngineConfig config;
    config.limits = limits;
    config.reservation = ReservationMode::kGuaranteed;
    return config;
  }
  Sequence& add(int32_t n_prompt, int32_t max_tokens, int32_t n = 1) {
    GenerationRequest request = request_of(
        requests.size(), std::vector<int32_t>(static_cast<size_t>(n_prompt), 7), max_tokens);
    request.sampling.n = n;
    requests.push_back(std::make_unique<LiveRequest>(std::move(request)));
    for (Choice& choice : requests.back()->choices) scheduler.enqueue(choice.sequence);
    return requests.back()->choices[0].sequence;
  }
  const Schedule& plan() {
    scheduler.plan(schedule);
    EXPECT_EQ(check_schedule(scheduler, schedule), 0);
    return schedule;
  }
  void step() {
    plan();
    scheduler.commit(schedule);
    EXPECT_EQ(check_invariants(scheduler, true), 0);
    for (const ScheduledChunk& chunk : schedule.chunks) {
      EXPECT_FALSE(scheduler.finish(chunk, true));
      Sequence& sequence = *chunk.sequence;
      if (chunk.samples) sequence.append_output(1);
      EXPECT_TRUE(!sequence.is_length_planned() || scheduler.retire(sequence));
    }
    EXPECT_EQ(check_invariants(scheduler, true), 0);
  }

  BlockPool pool;
  PrefixCache cache;
  std::vector<std::unique_ptr<LiveRequest>> requests;
  Scheduler scheduler;
  Schedule schedule;
};

StepLimits limits_of(int32_t max_tokens, int32_t max_seqs) {
  StepLimits limits = small_limits();
  limits.max_tokens = max_tokens;
  limits.max_seqs = limits.max_samples = max_seqs;
  return limits;
}

TEST(Scheduler, NothingToDoIsAnEmptyPlan) {
  Line line(limits_of(16, 4), 32);
  EXPECT_TRUE(line.plan().chunks.empty());
}

TEST(Scheduler, PlanningChangesNothing) {
  Line line(limits_of(16, 4), 32);
  const Sequence& sequence = line.add(5, 3);
  const std::vector<ScheduledChunk> first = line.plan().chunks;
  const std::vector<ScheduledChunk> second = line.plan().chunks;
  ASSERT_EQ(first.size(), 1u);
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(first[0].n_tokens, second[0].n_tokens);
  EXPECT_TRUE(sequence.is_waiting());
  EXPECT_EQ(line.pool.n_blocks_available(), 32);
}

TEST(Scheduler, CutsALongPromptAtTheTokenBudget) {
  Line line(limits_of(16, 4), 32);
  Sequence& sequence = line.add(40, 3);
  EXPECT_EQ(line.plan().n_tokens(), 16);
  EXPECT_EQ(line.schedule.n_samples(), 0);
  line.step();
  line.step();
  EXPECT_EQ(line.plan().chunks[0].first_position, 32);
  EXPECT_EQ(line.plan().chunks[0].n_tokens, 8);
  EXPECT_TRUE(line.plan().chunks[0].samples);
  line.step();
  EXPECT_EQ(sequence.state(), SeqState::kDecoding);
}

TEST(Scheduler, DecodesComeFirstAndAPromptGetsTheRest) {
  Line line(limits_of(8, 4), 64);
  line.add(2, 20);
  line.add(2, 20);
  line.step();
  line.add(40, 3);
  for (int i = 0; i < 6; ++i) {
    const Schedule& plan = line.plan();
    ASSERT_EQ(plan.chunks.size(), 3u);
    EXPECT_EQ(plan.chunks[0].n_tokens + plan.chunks[1].n_tokens, 2);
    EXPECT_TRUE(plan.chunks[0].samples && plan.chunks[1].samples);
    EXPECT_EQ(plan.chunks[2].n_tokens, 6);
    line.step();
  }
}

TEST(Scheduler, APromptIsNotStarvedByAsManyDecodesAsTheBudgetHolds) {
  Line line(limits_of(3, 8), 64);  // at most 3 run
  line.add(1, 40);
  line.add(1, 40);
  line.step();
  Sequence& prompt = line.add(9, 1);
  line.add(1, 1);
  for (int i = 0; i < 9; ++i) line.step();
  EXPECT_EQ(prompt.n_outputs(), 1);
}

TEST(Scheduler, PromptsShareAStepInOrderOfArrival) {
  Line line(limits_of(16, 4), 64);
  Sequence& a = line.add(6, 3);
  Sequence& b = line.add(7, 3);
  Sequence& c = line.add(8, 3);
  const Schedule& plan = line.plan();
  ASSERT_EQ(plan.chunks.size(), 3u);
  EXPECT_EQ(plan.chunks[0].sequence, &a);
  EXPECT_EQ(plan.chunks[1].sequence, &b);
  EXPECT_EQ(plan.chunks[2].sequence, &c);
  EXPECT_EQ(plan.chunks[2].n_tokens, 3);
  EXPECT_FALSE(plan.chunks[2].samples);
}

TEST(Scheduler, NoSequenceOvertakesTheHeadOfTheQueue) {
  Line line(limits_of(16, 4), 8);  // 32 tokens
  line.add(10, 10);                // 5 blocks
  line.step();
  Sequence& large = line.add(10, 6);  // 4 blocks: must wait for the first
  Sequence& small = line.add(2, 2);   // 1 block: would fit now
  for (int i = 0; i < 9; ++i) {
    EXPECT_TRUE(large.is_waiting() && small.is_waiting());
    line.step();
  }
  line.step();
  EXPECT_TRUE(large.is_running() && small.is_running());
}

TEST(Scheduler, AdmissionsOfOneStepDoNotReserveABlockTwice) {
  Line line(limits_of(16, 4), 5);
  line.add(2, 10);  // 3 blocks each
  line.add(2, 10);
  EXPECT_EQ(line.plan().chunks.size(), 1u);
  line.step();
}

TEST(Scheduler, APromptWaitsUntilThePoolHasRoom) {
  Line line(limits_of(16, 4), 8);
  auto taken = line.pool.reserve(6);
  Sequence& sequence = line.add(4, 8);
  EXPECT_TRUE(line.plan().chunks.empty());
  taken.reset();
  EXPECT_EQ(line.plan().chunks.size(), 1u);
  line.step();
  EXPECT_TRUE(sequence.is_running());
}

TEST(Scheduler, ChoicesOfOneRequestAreAdmittedOneByOne) {
  Line line(limits_of(16, 2), 32);
  line.add(3, 4, 5);
  EXPECT_EQ(line.scheduler.waiting().n_new_requests(), 1);
  line.step();
  EXPECT_EQ(line.scheduler.running().size(), 2u);
  EXPECT_EQ(line.scheduler.waiting().n_sequences(), 3);
  EXPECT_EQ(line.scheduler.waiting().n_new_requests(), 0);
}

TEST(Scheduler, AWaitingSequenceLeavesTheQueueAtOnce) {
  Line line(limits_of(16, 1), 32);
  Sequence& first = line.add(3, 4);
  Sequence& second = line.add(3, 4);
  Sequence& third = line.add(3, 4);
  EXPECT_TRUE(line.scheduler.retire(second));
  EXPECT_EQ(line.scheduler.waiting().of(0).front(), &first);
  EXPECT_EQ(line.scheduler.waiting().of(0).back(), &third);
  EXPECT_EQ(line.scheduler.waiting().n_new_requests(), 2);
}

// Random loads: a sequence that is admitted before an earlier one has fewer tokens to forward, and
// all invariants hold after each step.
TEST(Scheduler, KeepsItsRulesUnderRandomLoads) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SeededRandom random(seed);
    const StepLimits limits = limits_of(static_cast<int32_t>(random.integer(1, 24)),
                                        static_cast<int32_t>(random.integer(1, 6)));
    Line line(limits, 16);
    std::set<const Sequence*> is_admitted;
    for (int i = 0; i < 60; ++i) {
      if (random.chance(0.5)) {
        line.add(static_cast<int32_t>(random.integer(1, 40)),
                 static_cast<int32_t>(random.integer(1, 24)));
      }
      for (const ScheduledChunk& chunk : line.plan().chunks) {
        if (!chunk.admits) continue;
        for (const auto& earlier : line.requests) {
          const Sequence& other = earlier->choices[0].sequence;
          if (&other == chunk.sequence) break;
          ASSERT_TRUE(is_admitted.contains(&other) ||
                      other.n_prompt() > chunk.sequence->n_prompt());
        }
        is_admitted.insert(chunk.sequence);
      }
      line.step();
    }
    while (!line.scheduler.idle()) line.step();
    EXPECT_EQ(line.pool.n_blocks_available(), 16);
  }
}

}  // namespace
}  // namespace lockstep::testing
