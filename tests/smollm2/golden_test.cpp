// SmolLM2-135M against references of other projects: (a) llama.cpp with F32 weights and F32 KV,
// which finds bugs; (b) the shipped Q4_1 file against a float32 forward of its dequantised weights,
// within what int8 activations allow.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "node/model/files/open_model_file.h"
#include "tests/support/model_runner.h"
#include "tests/support/paths.h"
#include "tests/support/worst.h"

namespace lockstep::testing {
namespace {

struct Candidate {
  int32_t id;
  double logprob;
};

// Teacher-forced: top[i] are the best candidates after prompt + ids[:i].
struct GoldenCase {
  Ids prompt, ids;
  std::vector<std::vector<Candidate>> top;
};

std::vector<GoldenCase> read_cases(const nlohmann::json& cases, const char* top_name) {
  std::vector<GoldenCase> all;
  for (const auto& entry : cases) {
    GoldenCase c{entry.at("prompt_ids").get<Ids>(), entry.at("ids").get<Ids>(), {}};
    for (const auto& position : entry.at(top_name)) {
      auto& top = c.top.emplace_back();
      for (const auto& pair : position) top.push_back({pair.at(0), pair.at(1)});
    }
    all.push_back(std::move(c));
  }
  return all;
}

nlohmann::json read_golden(const std::string& name) {
  std::ifstream file(source_dir() + "/tests/golden/" + name);
  EXPECT_TRUE(file.good()) << name;
  return nlohmann::json::parse(file);
}

// log of the sum of exp: subtract it from a logit for its log-probability.
double log_sum(const Logits& logits) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float z : logits) sum += std::exp(z - max);
  return max + std::log(sum);
}

int32_t argmax(const Logits& logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

// Calls check(logits, top) for every position of every case; the logits are finite.
template <class Check>
void for_each_position(ModelRunner& runner, const std::vector<GoldenCase>& cases, Check check) {
  for (const GoldenCase& c : cases) {
    Ids tokens = c.prompt;
    tokens.insert(tokens.end(), c.ids.begin(), c.ids.end() - 1);
    const std::vector<Logits> logits = runner.forced_logits(tokens);
    for (size_t i = 0; i < c.top.size(); ++i) {
      const Logits& at = logits[c.prompt.size() - 1 + i];
      ASSERT_TRUE(std::all_of(at.begin(), at.end(), [](float z) { return std::isfinite(z); }))
          << "position " << i;
      check(at, c.top[i]);
    }
  }
}

// F32 KV in both: neither reference rounds K and V.
const RunnerOptions kForced{
    .threads_per_rank = 2, .kv_dtype = DType::kF32, .max_seqs = 64, .max_model_len = 512};

TEST(SmolLm2Golden, F32AgreesWithLlamaCpp) {
  const auto cases = read_cases(read_golden("smollm2_f32_llamacpp.json").at("cases"), "top10");
  ASSERT_EQ(cases.size(), 20u);
  const auto file = open_model_file(smollm2_f32());
  ModelRunner runner(*file, kForced);
  Worst worst;
  int n = 0, n_other_argmax = 0;
  for_each_position(runner, cases, [&](const Logits& logits, const auto& top) {
    const double norm = log_sum(logits);
    for (const Candidate& candidate : top) {
      worst.add(std::abs(logits[static_cast<size_t>(candidate.id)] - norm - candidate.logprob));
    }
    n_other_argmax += argmax(logits) != top.front().id;
    ++n;
  });
  EXPECT_EQ(n, 20 * 64);
  EXPECT_LE(worst.value(), 1e-3);
  EXPECT_EQ(n_other_argmax, 0);
  std::printf("F32 beside llama.cpp: worst |dlogprob| %.2e of %d positions\n", worst.value(), n);
}

TEST(SmolLm2Golden, Q4_1StaysNearItsDequantisedWeights) {
  const auto cases = read_cases(read_golden("smollm2_fp32.json"), "top5");
  ASSERT_EQ(cases.size(), 20u);
  const auto file = open_model_file(smollm2());
  ModelRunner runner(*file, kForced);
  std::vector<double> differences;
  int n = 0, n_same = 0;
  Worst worst_gap;  // how much better the exact argmax was where ours is another
  for_each_position(runner, cases, [&](const Logits& logits, const auto& top) {
    const double norm = log_sum(logits);
    for (const Candidate& candidate : top) {
      differences.push_back(
          std::abs(logits[static_cast<size_t>(candidate.id)] - norm - candidate.logprob));
    }
    ++n;
    const int32_t best = argmax(logits);
    if (best == top.front().id) {
      ++n_same;
      return;
    }
    const auto it =
        std::find_if(top.begin(), top.end(), [&](const Candidate& c) { return c.id == best; });
    ASSERT_NE(it, top.end()) << "not even among the exact top 5";
    worst_gap.add(top.front().logprob - it->logprob);
  });
  std::nth_element(differences.begin(), differences.begin() + differences.size() / 2,
                   differences.end());
  const double median = differences[differences.size() / 2];
  EXPECT_GE(n_same, 0.96 * n);
  EXPECT_LT(worst_gap.value(), 0.35);
  EXPECT_LE(median, 0.07);
  std::printf("Q4_1 beside exact: same argmax %.1f %% of %d, worst gap %.3f, median %.3f\n",
              100.0 * n_same / n, n, worst_gap.value(), median);
}

}  // namespace
}  // namespace lockstep::testing
