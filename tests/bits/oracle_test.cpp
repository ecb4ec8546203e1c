// The engine against exact arithmetic: seeded tiny F32 models, float64 logits by a forward pass
// without a cache that somebody wrote in another language (tests/reference/oracle.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/model_runner.h"
#include "tests/support/worst.h"

namespace lockstep::testing {
namespace {

// Sums of a few hundred fp32 terms over a handful of layers; logits are of order 1 to 10.
constexpr double kTolerance = 1e-4;

struct OracleCase {
  Ids prompt, greedy;
  std::vector<std::vector<double>> logits;  // after each token of prompt + greedy
};

std::vector<double> read_doubles(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  std::vector<double> values(static_cast<size_t>(file.tellg()) / sizeof(double));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(double)));
  EXPECT_TRUE(file.good()) << path;
  return values;
}

std::vector<OracleCase> read_cases(const std::string& name) {
  const std::string stem = std::string(LOCKSTEP_TINY_MODELS) + "/" + name + ".logits";
  std::ifstream file(stem + ".json");
  EXPECT_TRUE(file.good()) << stem;
  const nlohmann::json json = nlohmann::json::parse(file);
  const std::vector<double> values = read_doubles(stem + ".bin");
  const int64_t vocab_size = json.at("vocab_size");
  std::vector<OracleCase> cases;
  for (const auto& entry : json.at("cases")) {
    OracleCase c{entry.at("prompt").get<Ids>(), entry.at("greedy").get<Ids>(), {}};
    const int64_t first = entry.at("first_row");
    const int64_t n_rows = entry.at("n_rows");
    for (int64_t row = first; row < first + n_rows; ++row) {
      c.logits.emplace_back(values.begin() + row * vocab_size,
                            values.begin() + (row + 1) * vocab_size);
    }
    cases.push_back(std::move(c));
  }
  return cases;
}

double max_difference(const Logits& actual, const std::vector<double>& expected) {
  Worst worst;
  for (size_t i = 0; i < expected.size(); ++i) worst.add(std::abs(actual[i] - expected[i]));
  return worst.value();
}

class Oracle : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, Oracle,
                         ::testing::Values("tiny-9", "tiny-tp", "tiny-l31", "tiny-qw2-tied",
                                           "tiny-qw2-untied", "tiny-hd", "tiny-rot", "tiny-long"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(Oracle, ForcedLogitsAndGreedyIdsAgree) {
  const std::string name = GetParam();
  const auto file = ModelFile::open(std::string(LOCKSTEP_TINY_MODELS) + "/" + name + "-f32.gguf");
  ModelRunner runner(*file, {.kv_dtype = DType::kF32, .chunk = 16, .max_seqs = 8});
  Worst worst;
  for (const OracleCase& c : read_cases(name)) {
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
