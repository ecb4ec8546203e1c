// The sampling defaults of a model's file: who wins, what is refused, and that nodes that would
// answer differently have different fingerprints.
#include "node/service/requests/sampling_defaults.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <set>

#include "common/load_error.h"
#include "common/log.h"
#include "node/service/requests/generate_params.h"
#include "tests/support/fake_model_file.h"

namespace lockstep {
namespace {

SamplingDefaults some() {
  SamplingDefaults out;
  out.temperature = 0.6;
  out.top_p = 0.95;
  out.min_p = 0.05;
  out.top_k = 20;
  out.repetition_penalty = 1.1;
  return out;
}

class FileWithDefaults final : public ModelFile {
 public:
  explicit FileWithDefaults(SamplingDefaults defaults) : defaults_(std::move(defaults)) {}
  SamplingDefaults sampling_defaults() const override { return defaults_; }
  const ModelConfig& config() const override { return file_.config(); }
  const TokenizerData& tokenizer() const override { return file_.tokenizer(); }
  const std::vector<Tensor>& tensors() const override { return file_.tensors(); }
  std::string name_of(const TensorSpec& spec, int layer) const override {
    return file_.name_of(spec, layer);
  }
  const Tensor* find(std::string_view name) const override { return file_.find(name); }
  const Tensor& require(std::string_view name, int64_t rows, int64_t cols) const override {
    return file_.require(name, rows, cols);
  }
  void release(const std::byte*, int64_t) const override {}

 private:
  const testing::FakeModelFile file_{{}};
  const SamplingDefaults defaults_;
};

std::string refused(const std::string& mode, const SamplingDefaults& defaults) {
  try {
    resolve_sampling_defaults(mode, FileWithDefaults(defaults));
  } catch (const LoadError& error) {
    return error.what();
  }
  return "";
}

wire::Generate request() {
  wire::Generate m;
  m.request_id = "r";
  m.model = "null";
  m.prompt_text = "x";
  return m;
}

TEST(SamplingDefaults, AutoTakesWhatTheFileSaysAndNoneTakesNothing) {
  const FileWithDefaults file(some());
  EXPECT_EQ(resolve_sampling_defaults("auto", file).temperature, 0.6);
  EXPECT_FALSE(resolve_sampling_defaults("none", file).temperature);
  EXPECT_EQ(refused("vllm", some()), "generation_config: 'vllm' is not one of auto, none");
}

TEST(SamplingDefaults, FillWhatARequestLeavesOut) {
  const Result<SamplingParams> params = sampling_params(request(), 1, some());
  ASSERT_TRUE(params);
  EXPECT_EQ(params->temperature, 0.6f);
  EXPECT_EQ(params->top_p, 0.95f);
  EXPECT_EQ(params->min_p, 0.05f);
  EXPECT_EQ(params->top_k, 20);
  EXPECT_EQ(params->repetition_penalty, 1.1f);
}

TEST(SamplingDefaults, WhatARequestSaysWinsEvenIfItIsTheUsualDefault) {
  wire::Generate m = request();
  m.temperature = 1;
  m.top_p = 1;
  m.min_p = 0;
  m.top_k = 0;
  m.repetition_penalty = 1;
  const Result<SamplingParams> params = sampling_params(m, 1, some());
  ASSERT_TRUE(params);
  EXPECT_EQ(params->temperature, 1.0f);
  EXPECT_EQ(params->top_p, 1.0f);
  EXPECT_EQ(params->min_p, 0.0f);
  EXPECT_EQ(params->top_k, 0);
  EXPECT_EQ(params->repetition_penalty, 1.0f);
  m.top_p.reset();
  EXPECT_EQ(sampling_params(m, 1, some())->top_p, 0.95f);
}

TEST(SamplingDefaults, AValueThatNoRequestCouldHaveIsRefusedWithItsKey) {
  struct Case {
    std::function<void(SamplingDefaults&)> make;
    const char* key;
    const char* number;
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<Case> cases = {
      {[](auto& d) { d.temperature = -1; }, "general.sampling.temp", "-1"},
      {[nan](auto& d) { d.temperature = nan; }, "general.sampling.temp", "nan"},
      {[](auto& d) { d.top_p = 1.5; }, "general.sampling.top_p", "1.5"},
      {[](auto& d) { d.min_p = -0.25; }, "general.sampling.min_p", "-0.25"},
      {[](auto& d) { d.top_k = -7; }, "general.sampling.top_k", "-7"},
      {[](auto& d) { d.repetition_penalty = 0; }, "general.sampling.penalty_repeat", "0"},
  };
  for (const Case& bad : cases) {
    SamplingDefaults defaults = some();
    bad.make(defaults);
    const std::string message = refused("auto", defaults);
    EXPECT_NE(message.find(str("'", bad.key, "'")), std::string::npos) << message;
    EXPECT_NE(message.find(bad.number), std::string::npos) << message;
    EXPECT_EQ(refused("none", defaults), "");
  }
}

TEST(SamplingDefaults, SamplersThatAreNotHereAreOneLineInTheLog) {
  std::vector<std::string> lines;
  set_log_sink([&](LogLevel, std::string_view line) { lines.emplace_back(line); });
  SamplingDefaults defaults;
  defaults.unsupported = {"'general.sampling.mirostat'", "'general.sampling.sequence'"};
  resolve_sampling_defaults("none", FileWithDefaults(defaults));
  EXPECT_TRUE(lines.empty());
  resolve_sampling_defaults("auto", FileWithDefaults(defaults));
  set_log_sink(nullptr);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_NE(lines[0].find("'general.sampling.mirostat', 'general.sampling.sequence'"),
            std::string::npos);
}

TEST(SamplingDefaults, NodesThatSampleDifferentlyHaveDifferentFingerprints) {
  const std::vector<std::function<void(SamplingDefaults&)>> changes = {
      [](SamplingDefaults&) {},
      [](SamplingDefaults& d) { d.temperature = 0.7; },
      [](SamplingDefaults& d) { d.top_p = 0.9; },
      [](SamplingDefaults& d) { d.min_p.reset(); },
      [](SamplingDefaults& d) { d.top_k = 21; },
      [](SamplingDefaults& d) { d.repetition_penalty = 1.2; },
  };
  std::set<std::string> parts = {fingerprint_part({})};
  EXPECT_EQ(*parts.begin(), "");
  for (const auto& change : changes) {
    SamplingDefaults defaults = some();
    change(defaults);
    EXPECT_EQ(fingerprint_part(defaults).size(), 18u);
    parts.insert(fingerprint_part(defaults));
  }
  EXPECT_EQ(parts.size(), 1 + changes.size());
}

// Gemma's files say temperature 1, others top_p 1: that is what nodes without defaults do.
TEST(SamplingDefaults, SayingTheUsualIsAsGoodAsSayingNothing) {
  SamplingDefaults usual;
  usual.temperature = 1.0;
  usual.top_p = 1.0;
  usual.min_p = 0.0;
  usual.top_k = -1;
  usual.repetition_penalty = 1.0;
  EXPECT_EQ(fingerprint_part(usual), "");
}

TEST(SamplingDefaults, ClientsSeeWhatTheFileSaysAndNothingElse) {
  EXPECT_FALSE(to_wire({}));
  SamplingDefaults defaults;
  defaults.top_k = 20;
  const auto told = to_wire(defaults);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->top_k, 20);
  EXPECT_FALSE(told->temperature);
}

}  // namespace
}  // namespace lockstep
