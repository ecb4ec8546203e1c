// StepTime: fits what steps cost. With it a long prompt beside decodes is cut into chunks so that
// no step is predicted above the target.
#include "node/engine/plan/step_time.h"

#include <gtest/gtest.h>

#include "tests/support/random.h"
#include "tests/unit/engine/harness.h"

namespace lockstep::testing {
namespace {

// Seconds of a step of a model that prefills 1,000 tokens a second.
double true_seconds(const StepWork& work) {
  return 0.004 + 0.001 * work.n_rows + 0.0005 * work.n_samples + 2e-7 * double(work.n_keys);
}

TEST(StepTime, FindsWhatARowASampleAndAKeyCost) {
  SeededRandom random(7);
  StepTime time;
  const auto step = [&] {
    StepWork work;
    for (int64_t i = random.integer(0, 16); i > 0; --i) {
      work.add_chunk(static_cast<int32_t>(random.integer(0, 4000)), 1, true);
    }
    work.add_chunk(static_cast<int32_t>(random.integer(0, 2000)),
                   static_cast<int32_t>(random.integer(1, 512)), random.chance(0.3));
    return work;
  };
  EXPECT_FALSE(time.is_fitted());
  EXPECT_EQ(time.predict(step()), 0);
  for (int i = 0; i < 300; ++i) {
    const StepWork work = step();
    time.observe(work, true_seconds(work));
  }
  for (int i = 0; i < 100; ++i) {
    const StepWork work = step();
    EXPECT_NEAR(time.predict(work), true_seconds(work), 0.03 * true_seconds(work));
  }
}

TEST(StepTime, NoCoefficientIsNegativeWhateverItSees) {
  SeededRandom random(8);
  StepTime time;
  for (int i = 0; i < 500; ++i) {
    StepWork work;
    work.add_chunk(0, static_cast<int32_t>(random.integer(1, 64)), true);
    time.observe(work, double(random.integer(0, 1000)) / 1000);
    for (double c : time.coefficients()) EXPECT_GE(c, 0);
  }
}

TEST(StepTime, TheMostRowsThatFitAreTheMost) {
  StepTime time;
  for (int i = 0; i < 400; ++i) {
    StepWork work;
    work.add_chunk(i % 7 * 100, 1 + i % 50, i % 2 == 0);
    time.observe(work, true_seconds(work));
  }
  StepWork decodes;
  for (int i = 0; i < 8; ++i) decodes.add_chunk(500, 1, true);
  const int32_t n = time.max_rows(decodes, 1000, 512, 0.05);
  ASSERT_GT(n, 16);
  ASSERT_LT(n, 512);
  StepWork fits = decodes, does_not = decodes;
  fits.add_chunk(1000, n, true);
  does_not.add_chunk(1000, n + 1, true);
  EXPECT_LE(time.predict(fits), 0.05);
  EXPECT_GT(time.predict(does_not), 0.05);
}

// Eight streams decode when a prompt of 4,000 tokens arrives. The clock advances by the model's
// time for each step.
struct Arrival {
  double worst_seconds = 0;  // of a step with decodes, after the prompt arrived
  int n_steps = 0;           // until its first token
};
Arrival long_prompt_among_decodes(std::chrono::milliseconds target) {
  EngineConfig config = small_config();
  config.limits.max_tokens = 512;
  config.limits.max_seqs = config.limits.max_samples = 16;
  config.limits.max_model_len = 5000;
  config.limits.block_size = 16;
  config.limits.max_banned = max_banned_ids(16, FakeTokenizer());
  config.n_kv_blocks = 1000;
  config.itl_target = target;
  CoreHarness h(config);
  double seconds = 0;
  bool has_arrived = false;
  Arrival out;
  h.executor.on_submit = [&](const StepPlanView& plan) {
    StepWork work;
    for (int32_t position : plan.positions()) work.add_chunk(position, 1, false);
    work.n_samples = plan.header().n_samples;
    seconds = true_seconds(work);
    h.clock.advance(std::chrono::nanoseconds(static_cast<int64_t>(seconds * 1e9)));
    if (has_arrived && work.n_samples >= 8)
      out.worst_seconds = std::max(out.worst_seconds, seconds);
  };
  for (uint64_t id = 0; id < 8; ++id) {
    EXPECT_TRUE(h.accept(request_of(id, std::vector<int32_t>(30 + 9 * id, int32_t(id)), 800)));
  }
  for (int i = 0; i < 40; ++i) h.turn();
  has_arrived = true;
  EXPECT_TRUE(h.accept(request_of(99, std::vector<int32_t>(4000, 77), 1)));
  while (!h.sink.ends.contains(RequestId{99}) && out.n_steps < 2000) {
    h.turn();
    ++out.n_steps;
  }
  EXPECT_TRUE(h.sink.ends.contains(RequestId{99})) << "the prompt starves";
  return out;
}

TEST(StepTime, ALongPromptNeverStopsTheDecodesAndIsNotStarved) {
  const Arrival with = long_prompt_among_decodes(std::chrono::milliseconds(60));
  EXPECT_LE(with.worst_seconds, 0.060 * 1.02);  // the fit is good to 2 %
  EXPECT_LT(with.n_steps, 4000 / 30);
  const Arrival without = long_prompt_among_decodes(std::chrono::milliseconds(0));
  EXPECT_GT(without.worst_seconds, 0.4);  // a step of 512 tokens
}

TEST(StepTime, AStepThatWasInterruptedSaysLittle) {
  StepTime time;
  StepWork work;
  for (int n = 1; n <= 64; ++n) {
    work.n_rows = n;
    time.observe(work, 0.001 * n);
  }
  work.n_rows = 32;
  const double before = time.predict(work);
  time.observe(work, 100.0);
  EXPECT_LT(time.predict(work), 2 * before);
  for (int i = 0; i < 100; ++i) time.observe(work, 0.3);  // but a slower machine is followed
  EXPECT_NEAR(time.predict(work), 0.3, 0.06);
}

}  // namespace
}  // namespace lockstep::testing
