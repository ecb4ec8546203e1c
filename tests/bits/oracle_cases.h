// OracleCase: prompts with their greedy continuations and float64 logits, which tests/reference
// has computed for the tiny F32 models and stored beside them.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "node/model/files/open_model_file.h"
#include "tests/support/model_runner.h"
#include "tests/support/paths.h"

namespace lockstep::testing {

inline constexpr const char* kOracleModels[] = {
    "tiny-9",    "tiny-tp",      "tiny-l31",  "tiny-qw2-tied", "tiny-qw2-untied",
    "tiny-hd",   "tiny-rot",     "tiny-long", "tiny-qw3",      "tiny-smollm3",
    "tiny-phi3", "tiny-mistral", "tiny-bias"};

inline std::unique_ptr<ModelFile> open_oracle_model(const std::string& name) {
  return open_model_file(tiny_models() + "/" + name + "-f32.gguf");
}

struct OracleCase {
  Ids prompt, greedy;
  std::vector<std::vector<double>> logits;  // after each token of prompt + greedy
};

inline std::vector<double> read_doubles(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  std::vector<double> values(static_cast<size_t>(file.tellg()) / sizeof(double));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(double)));
  EXPECT_TRUE(file.good()) << path;
  return values;
}

inline std::vector<OracleCase> read_oracle_cases(const std::string& name) {
  const std::string stem = tiny_models() + "/" + name + ".logits";
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

}  // namespace lockstep::testing
