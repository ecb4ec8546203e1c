// StepTimeModel: finds what the parts of a step cost from noisy, interrupted, few and useless
// times.
#include "node/engine/plan/step_time_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "tests/support/random.h"

namespace lockstep::testing {
namespace {

std::array<double, 5> all(const StepCosts& costs) {
  return {costs.base, costs.prompt_token, costs.prompt_context, costs.sequence, costs.context};
}

// A step as a coordinator predicts it from the costs in a heartbeat, for chunks of one prompt.
struct Shape {
  int32_t n_tokens = 0, n_before = 0;  // of the chunk
  std::vector<int32_t> lengths;        // [n_decodes], context after the step

  StepWork work(bool samples) const {
    StepWork out;
    if (n_tokens > 0) out.add_chunk(n_before, n_tokens, samples);
    for (const int32_t length : lengths) out.add_decode(length - 1);
    return out;
  }
  double seconds(const StepCosts& costs) const {
    const double p = n_tokens, c = n_before, n = double(lengths.size());
    const double length = std::accumulate(lengths.begin(), lengths.end(), 0.0);
    return costs.base + costs.prompt_token * p + costs.prompt_context * p * (c + p / 2) +
           costs.sequence * n + costs.context * length;
  }
};

Shape random_shape(SeededRandom& random, int64_t max_chunk = 512) {
  Shape shape;
  if (random.chance(0.4)) {
    shape.n_tokens = static_cast<int32_t>(random.integer(1, max_chunk));
    shape.n_before = static_cast<int32_t>(random.integer(0, 4000));
  }
  for (int64_t n = random.integer(shape.n_tokens > 0 ? 0 : 1, 32); n > 0; --n) {
    shape.lengths.push_back(static_cast<int32_t>(random.integer(1, 4000)));
  }
  return shape;
}

// Costs from those of a large GPU to those of one CPU core, each by itself.
StepCosts random_costs(SeededRandom& random) {
  const auto between = [&](double low, double high) {
    return low * std::pow(high / low, double(random.integer(0, 1000)) / 1000);
  };
  return {.base = between(1e-3, 3e-2),
          .prompt_token = between(1e-5, 3e-3),
          .prompt_context = between(1e-9, 3e-7),
          .sequence = between(1e-5, 5e-3),
          .context = between(1e-8, 1e-6)};
}

double noisy(SeededRandom& random, double seconds, double noise) {
  return seconds * (1 + noise * (double(random.integer(-1000, 1000)) / 1000));
}

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<int64_t>(values.size() / 2));
  return values[values.size() / 2];
}

TEST(StepTimeModel, PredictsStepsThatItHasNotSeenFromNoisyOnes) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    const StepCosts costs = random_costs(random);
    StepTimeModel time;
    for (int i = 0; i < 400; ++i) {
      const Shape shape = random_shape(random);
      time.observe(shape.work(random.chance(0.3)), noisy(random, shape.seconds(costs), 0.1));
    }
    std::vector<double> errors;
    for (int i = 0; i < 200; ++i) {
      const Shape shape = random_shape(random);
      const double truth = shape.seconds(costs);
      errors.push_back(std::abs(shape.seconds(time.costs()) / truth - 1));
    }
    EXPECT_LT(median(errors), 0.03);
    EXPECT_LT(*std::ranges::max_element(errors), 0.1);
  }
}

// Five in a hundred steps are interrupted, some for very long.
TEST(StepTimeModel, InterruptedStepsMoveThePredictionsLittle) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    const StepCosts costs = random_costs(random);
    StepTimeModel time;
    for (int i = 0; i < 400; ++i) {
      const Shape shape = random_shape(random);
      double seconds = noisy(random, shape.seconds(costs), 0.05);
      if (i > 20 && random.chance(0.05)) seconds *= double(random.integer(10, 10000));
      time.observe(shape.work(true), seconds);
    }
    std::vector<double> errors;
    for (int i = 0; i < 200; ++i) {
      const Shape shape = random_shape(random);
      errors.push_back(std::abs(shape.seconds(time.costs()) / shape.seconds(costs) - 1));
    }
    EXPECT_LT(median(errors), 0.1);
  }
}

TEST(StepTimeModel, AMachineThatBecomesFasterOrSlowerIsFollowed) {
  for (const double factor : {0.5, 4.0}) {
    SeededRandom random(11);
    StepCosts costs = random_costs(random);
    StepTimeModel time;
    const auto run = [&](int n) {
      for (int i = 0; i < n; ++i) {
        const Shape shape = random_shape(random);
        time.observe(shape.work(true), noisy(random, shape.seconds(costs), 0.05));
      }
    };
    run(300);
    costs = {costs.base * factor, costs.prompt_token * factor, costs.prompt_context * factor,
             costs.sequence * factor, costs.context * factor};
    run(500);
    for (int i = 0; i < 100; ++i) {
      const Shape shape = random_shape(random);
      const double truth = shape.seconds(costs);
      EXPECT_NEAR(shape.seconds(time.costs()), truth, 0.15 * truth) << factor;
    }
  }
}

// What prompts cost is remembered while none come, also when the machine changes meanwhile.
TEST(StepTimeModel, ALongTimeWithoutPromptsLeavesTheirCosts) {
  SeededRandom random(12);
  const StepCosts costs = random_costs(random);
  StepTimeModel time;
  for (int i = 0; i < 300; ++i) {
    const Shape shape = random_shape(random);
    time.observe(shape.work(true), shape.seconds(costs));
  }
  const Shape prompt{.n_tokens = 400, .n_before = 800, .lengths = {}};
  for (int i = 0; i < 5000; ++i) {
    Shape shape = random_shape(random);
    shape.n_tokens = 0;
    if (shape.lengths.empty()) shape.lengths = {1};
    time.observe(shape.work(false), noisy(random, shape.seconds(costs), 0.1));
  }
  EXPECT_NEAR(prompt.seconds(time.costs()), prompt.seconds(costs), 0.1 * prompt.seconds(costs));
}

// One sequence decodes, as after the first prompt of a node.
TEST(StepTimeModel, WorkThatNoStepHasHadIsGuessedFromTheOther) {
  StepTimeModel time;
  const auto decode = [](int32_t length) { return Shape{.lengths = {length}}; };
  for (int i = 0; i < 50; ++i) time.observe(decode(100 + i).work(false), 0.008);
  const StepCosts costs = time.costs();
  EXPECT_NEAR(decode(200).seconds(costs), 0.008, 0.001);
  EXPECT_GT(costs.prompt_token, 0.008 / 100);
  EXPECT_LT(costs.prompt_token, 0.008 / 4);
  EXPECT_EQ(costs.prompt_token, costs.sequence + costs.prompt_context / 2);
  EXPECT_EQ(costs.prompt_context, costs.context);
}

// While nothing tells a step's own time from that of its eight sequences.
TEST(StepTimeModel, AStepsOwnTimeIsMostOfItUntilTheNumberOfSequencesVaries) {
  StepTimeModel time;
  const Shape eight{.lengths = std::vector<int32_t>(8, 100)};
  for (int i = 0; i < 100; ++i) time.observe(eight.work(false), 0.016);
  EXPECT_NEAR(time.costs().base, 0.016 * 10 / 11, 0.0005);
  EXPECT_NEAR(8 * time.costs().sequence, 0.016 / 11, 0.0005);
  const Shape four{.lengths = std::vector<int32_t>(4, 100)};
  for (int i = 0; i < 20; ++i)
    time.observe((i % 2 == 0 ? four : eight).work(false), i % 2 == 0 ? 0.009 : 0.016);
  EXPECT_NEAR(time.predict(four.work(false)), 0.009, 0.0005);
}

TEST(StepTimeModel, AColdFirstStepIsSoonForgotten) {
  StepTimeModel time;
  const Shape prompt{.n_tokens = 400, .lengths = {}}, decode{.lengths = {450}};
  time.observe(prompt.work(true), 10);
  for (int i = 0; i < 20; ++i) time.observe(decode.work(false), 0.01);
  EXPECT_GT(time.predict(prompt.work(true)), 5) << "there is nothing better yet";
  time.observe(prompt.work(true), 0.2);
  EXPECT_LT(time.predict(prompt.work(true)), 0.4);
}

TEST(StepTimeModel, PromptsAloneGiveAGuessOfDecodes) {
  SeededRandom random(13);
  StepTimeModel time;
  for (int i = 0; i < 50; ++i) {
    const Shape shape{.n_tokens = static_cast<int32_t>(random.integer(1, 512)), .lengths = {}};
    time.observe(shape.work(false), 0.002 + 0.0005 * shape.n_tokens);
  }
  EXPECT_NEAR(time.costs().sequence, 0.0005, 0.0001);
}

TEST(StepTimeModel, NoCostIsNegativeIfTimesHaveNothingToDoWithTheWork) {
  SeededRandom random(8);
  StepTimeModel time;
  for (int i = 0; i < 2000; ++i) {
    time.observe(random_shape(random).work(true), double(random.integer(0, 1000)) / 1000);
    for (const double cost : all(time.costs())) ASSERT_GE(cost, 0);
  }
}

TEST(StepTimeModel, WhateverTheTimesTheCostsAreFiniteAndNotNegative) {
  const double huge = std::numeric_limits<double>::max();
  const double inf = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::vector<double>> histories = {
      {0}, {huge}, {inf}, {nan}, {-1}, {0, huge}, {0, 0, 0, 1e-300, huge, nan, -inf, 1e-9}};
  for (const std::vector<double>& seconds : histories) {
    for (const bool same_shape : {true, false}) {
      SeededRandom random(14);
      StepTimeModel time;
      Shape shape = random_shape(random);
      for (size_t i = 0; i < 2000; ++i) {
        if (!same_shape) shape = random_shape(random, i % 3 == 0 ? 1 << 20 : 512);
        time.observe(shape.work(i % 2 == 0), seconds[i % seconds.size()]);
        for (const double cost : all(time.costs())) ASSERT_TRUE(cost >= 0 && cost < huge) << i;
        const double predicted = time.predict(shape.work(true));
        ASSERT_TRUE(predicted >= 0 && predicted < huge) << i;
      }
    }
  }
}

TEST(StepTimeModel, EqualStepsArePredictedExactlyAndTimesThatAreNoneDoNotCount) {
  SeededRandom random(15);
  const Shape shape = random_shape(random);
  StepTimeModel time;
  for (int i = 0; i < 100; ++i) {
    time.observe(shape.work(true), 0.0125);
    time.observe(shape.work(true), std::numeric_limits<double>::quiet_NaN());
    time.observe(shape.work(true), -1);
  }
  EXPECT_NEAR(time.predict(shape.work(true)), 0.0125, 1e-5);
}

}  // namespace
}  // namespace lockstep::testing
