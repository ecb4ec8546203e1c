// Ranks that throw, are late, hang, compute a NaN or copy slowly, under the whole engine: a
// request that did not cause the fault gets the bits of a quiet run, and nothing of a failed step
// is left in the cache.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/fault_points.h"
#include "tests/bits/engine_node.h"
#include "tests/support/lazy_device.h"

namespace lockstep::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr uint64_t kRequests = 6;
constexpr int32_t kOutputs = 8;

// Two of them share a first half, three blocks of 16; four run at a time.
Ids prompt_of(uint64_t id) {
  Ids prompt = random_prompt(30, 500, id / 2);
  const Ids own = random_prompt(3 + 5 * static_cast<int>(id), 500, 100 + id);
  prompt.insert(prompt.end(), own.begin(), own.end());
  return prompt;
}

void ask_all(Node& node) {
  for (uint64_t id = 0; id < kRequests; ++id) node.ask(id, prompt_of(id), sampled(id, kOutputs));
  node.run();
}

void expect_idle(const Node& node) {
  const EngineSnapshot s = node.snapshot();
  EXPECT_EQ(s.n_blocks_active + s.n_blocks_reserved + s.n_running + s.n_waiting, 0);
  EXPECT_EQ(s.n_invariant_violations(), 0u);
}

class RankFaults : public ::testing::TestWithParam<RankSetup> {
 protected:
  Setting setting() const {
    return {.devices = devices_of(GetParam().kind),
            .n_ranks = GetParam().n_ranks,
            .chunk = 24,
            .n_kv_blocks = 40,
            .may_fail = true};
  }
  // The answers of a quiet node, and how many steps they took.
  void SetUp() override {
    Node quiet(model, setting());
    ask_all(quiet);
    for (uint64_t id = 0; id < kRequests; ++id) expected.push_back(quiet.answer(id));
    n_steps = quiet.snapshot().n_steps;
  }
  void expect_answers(Node& node) const {
    for (uint64_t id = 0; id < kRequests; ++id) {
      EXPECT_EQ(node.answer(id).reason, FinishReason::kLength) << node.answer(id).message;
      expect_equal(expected[id], node.answer(id), "request " + std::to_string(id));
    }
  }
  // All of them once more: what the cache holds is sound.
  void expect_answers_again(Node& node) const {
    node.forget_answers();
    ask_all(node);
    expect_answers(node);
    expect_idle(node);
  }

  const NamedSpec model = nine_heads();
  std::vector<Answer> expected;
  uint64_t n_steps = 0;
};
INSTANTIATE_TEST_SUITE_P(Ranks, RankFaults, ::testing::ValuesIn(rank_setups()),
                         [](const auto& info) { return name_of(info.param); });

TEST_P(RankFaults, ARankThatThrowsOnceInAnyStepFailsNoRequest) {
  for (uint64_t step = 1; step <= n_steps; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    Node node(model, setting());
    const ArmedFault throws(Fault::kRankThrows, step);
    ask_all(node);
    ASSERT_EQ(throws.n_fired(), 1u);
    expect_answers(node);
    const DecodeFailures failures = node.snapshot().decode_failures;
    EXPECT_EQ(failures.n_retried_of(DecodeFailureCause::kCompute), 1u);
    EXPECT_EQ(failures.n_failed_of(DecodeFailureCause::kCompute), 0u);
    expect_answers_again(node);
  }
}

// It throws again when the request runs alone; of the steps between, one was in flight behind the
// first. The prompt takes two steps.
TEST_P(RankFaults, ARequestWhoseStepsKeepFailingLeavesNothingInTheCache) {
  for (uint64_t first : {1, 2, 4}) {
    SCOPED_TRACE("from step " + std::to_string(first));
    Node node(model, setting());
    node.ask(50, prompt_of(0), sampled(0, kOutputs));
    {
      const ArmedFault throws(Fault::kRankThrows, {first, first + 2});
      node.run();
      EXPECT_EQ(throws.n_fired(), 2u);
    }
    EXPECT_EQ(node.answer(50).reason, FinishReason::kError);
    EXPECT_THAT(node.answer(50).message, HasSubstr("fault point rank-throws"));
    EXPECT_THAT(node.answer(50).message,
                HasSubstr("rank " + std::to_string(GetParam().n_ranks - 1)));
    EXPECT_EQ(node.snapshot().decode_failures.n_failed_of(DecodeFailureCause::kCompute), 1u);
    expect_idle(node);
    expect_answers_again(node);
  }
}

TEST_P(RankFaults, ALateRankIsWaitedFor) {
  Node node(model, setting());
  const ArmedFault late(Fault::kRankIsLate, 4);  // a second, of the ten that the other ranks wait
  ask_all(node);
  EXPECT_EQ(late.n_fired(), 1u);
  expect_answers(node);
  EXPECT_EQ(node.snapshot().decode_failures.n_retried_in_all(), 0u);
}

TEST_P(RankFaults, AStalledRanksStepRunsAgainAndNoRequestFails) {
  Setting impatient = setting();
  impatient.collective_deadline = milliseconds{1000};
  Node node(model, impatient);
  const ArmedFault stalls(Fault::kRankStalls, 4);
  ask_all(node);
  EXPECT_EQ(stalls.n_fired(), 1u);
  expect_answers(node);
  const DecodeFailures failures = node.snapshot().decode_failures;
  // Alone it has no other rank that waits.
  EXPECT_EQ(failures.n_retried_of(DecodeFailureCause::kCommunication),
            GetParam().n_ranks == 1 ? 0u : 1u);
  expect_answers_again(node);
}

TEST_P(RankFaults, ANanInARowFailsItsRequestAloneAndIsGoneWithIt) {
  for (uint64_t step : {1, 2, 5, 9}) {
    SCOPED_TRACE("step " + std::to_string(step));
    Node node(model, setting());
    const ArmedFault nan(Fault::kRowIsNan, step);
    ask_all(node);
    EXPECT_EQ(nan.n_fired(), 1u);
    uint64_t n_failed = 0;
    for (uint64_t id = 0; id < kRequests; ++id) {
      if (node.answer(id).reason == FinishReason::kLength) {
        expect_equal(expected[id], node.answer(id), "request " + std::to_string(id));
        continue;
      }
      ++n_failed;
      EXPECT_THAT(node.answer(id).message, HasSubstr("NaN"));
    }
    // Without a sample in the step there is no row to spoil.
    EXPECT_LE(n_failed, 1u);
    EXPECT_EQ(node.snapshot().decode_failures.n_failed_of(DecodeFailureCause::kNonfinite),
              n_failed);
    if (step > 2) {
      EXPECT_EQ(n_failed, 1u);
    }
    expect_answers_again(node);
  }
}

// In a chunk that is not the prompt's last one: the rows of the chunks behind it have finite keys
// and values again, and only the first token shows it. None of what is behind it is taken in.
TEST_P(RankFaults, ANanInAKeyOfAnEarlyChunkIsNeverShared) {
  for (uint64_t step : {1, 2, 3}) {
    SCOPED_TRACE("step " + std::to_string(step));
    Node node(model, setting());
    const Ids prompt = random_prompt(100, 500, 3);  // 24 rows a step
    node.ask(70, prompt, sampled(0, kOutputs));
    {
      const ArmedFault nan(Fault::kKeyIsNan, step);
      node.run();
      EXPECT_EQ(nan.n_fired(), 1u);
    }
    EXPECT_EQ(node.answer(70).reason, FinishReason::kError);
    EXPECT_THAT(node.answer(70).message, HasSubstr("NaN"));
    node.ask(71, prompt, sampled(0, kOutputs));
    node.run();
    EXPECT_EQ(node.answer(71).n_cached, (step - 1) * 24 / 16 * 16);
    Node quiet(model, setting());
    quiet.ask(71, prompt, sampled(0, kOutputs));
    quiet.run();
    expect_equal(quiet.answer(71), node.answer(71), "asked again");
  }
}

TEST_P(RankFaults, SlowCopiesFailNoRequest) {
  Node node(model, setting());
  const ArmedFault slow(Fault::kSlowCopies);
  ask_all(node);
  expect_answers_again(node);
  EXPECT_GT(slow.n_fired(), 0u);
  EXPECT_EQ(node.snapshot().decode_failures.n_retried_in_all(), 0u);
}

}  // namespace
}  // namespace lockstep::testing
