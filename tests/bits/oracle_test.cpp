// Compares the engine with float64 logits of seeded tiny F32 models, from an independent forward
// pass without a cache in another language (tests/reference/oracle.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/bits/oracle_cases.h"
#include "tests/support/worst.h"

namespace lockstep::testing {
namespace {

// Sums of a few hundred fp32 terms over a handful of layers; logits are of order 1 to 10.
constexpr double kTolerance = 1e-4;

double max_difference(const Logits& actual, const std::vector<double>& expected) {
  Worst worst;
  for (size_t i = 0; i < expected.size(); ++i) worst.add(std::abs(actual[i] - expected[i]));
  return worst.value();
}

class Oracle : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, Oracle, ::testing::ValuesIn(kOracleModels), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST_P(Oracle, ForcedLogitsAndGreedyIdsAgree) {
  const std::string name = GetParam();
  const auto file = open_oracle_model(name);
  ModelRunner runner(*file, {.kv_dtype = DType::kF32, .chunk = 16, .max_seqs = 8});
  Worst worst;
  for (const OracleCase& c : read_oracle_cases(name)) {
    Ids tokens = c.prompt;
    tokens.insert(tokens.end(), c.greedy.begin(), c.greedy.end());
    const std::vector<Logits> logits = runner.forced_logits(tokens);
    for (size_t row = 0; row < c.logits.size(); ++row) {
      const double difference = max_difference(logits[row], c.logits[row]);
      worst.add(difference);
      ASSERT_LE(difference, kTolerance)
          << name << ", prompt of " << c.prompt.size() << ", row " << row;
    }
    EXPECT_EQ(runner.generate(c.prompt, static_cast<int>(c.greedy.size())).ids, c.greedy);
  }
  RecordProperty("worst_difference", std::to_string(worst.value()));
}

}  // namespace
}  // namespace lockstep::testing
