// The keys general.sampling.* of a GGUF file: which are read, as which numbers, and which are
// listed as unsupported.
#include <gtest/gtest.h>

#include "tests/unit/model/gguf_fault.h"

namespace lockstep {
namespace {

using testing::GgufBuilder;

SamplingDefaults defaults_of(const GgufBuilder& builder) {
  const testing::Bytes bytes = builder.build();
  return GgufModel(bytes).sampling_defaults();
}

TEST(GgufSampling, AFileThatSaysNothingHasNoDefaults) {
  const SamplingDefaults defaults = defaults_of(GgufBuilder::tiny_llama());
  EXPECT_FALSE(defaults.temperature);
  EXPECT_FALSE(defaults.top_p);
  EXPECT_FALSE(defaults.min_p);
  EXPECT_FALSE(defaults.top_k);
  EXPECT_FALSE(defaults.repetition_penalty);
  EXPECT_TRUE(defaults.unsupported.empty());
}

// A float32 of 0.6 is 0.60000002…; a request would have 0.6.
TEST(GgufSampling, NumbersAreThoseThatTheAuthorsWrote) {
  GgufBuilder builder = GgufBuilder::tiny_llama();
  builder.set_f32("general.sampling.temp", 0.6f);
  builder.set_f32("general.sampling.top_p", 0.95f);
  builder.set_f32("general.sampling.min_p", 0.05f);
  builder.set_i32("general.sampling.top_k", 20);
  builder.set_f32("general.sampling.penalty_repeat", 1.1f);
  const SamplingDefaults defaults = defaults_of(builder);
  EXPECT_EQ(defaults.temperature, 0.6);
  EXPECT_EQ(defaults.top_p, 0.95);
  EXPECT_EQ(defaults.min_p, 0.05);
  EXPECT_EQ(defaults.top_k, 20);
  EXPECT_EQ(defaults.repetition_penalty, 1.1);
}

TEST(GgufSampling, WholeNumbersAndNegativeOnesAreReadAsTheyAre) {
  GgufBuilder builder = GgufBuilder::tiny_llama();
  builder.set_u32("general.sampling.temp", 1);
  builder.set_i32("general.sampling.top_k", -1);
  const SamplingDefaults defaults = defaults_of(builder);
  EXPECT_EQ(defaults.temperature, 1.0);
  EXPECT_EQ(defaults.top_k, -1);
}

TEST(GgufSampling, SamplersThatAreNotHereAreNamed) {
  GgufBuilder builder = GgufBuilder::tiny_llama();
  builder.set_i32("general.sampling.mirostat", 2);
  builder.set_f32("general.sampling.xtc_probability", 0.5f);
  builder.set_string("general.sampling.sequence", "penalties;top_k");
  builder.set_i32("general.sampling.penalty_last_n", 64);
  EXPECT_EQ(defaults_of(builder).unsupported,
            (std::vector<std::string>{
                "'general.sampling.mirostat'", "'general.sampling.xtc_probability'",
                "'general.sampling.sequence'", "'general.sampling.penalty_last_n'"}));
}

TEST(GgufSampling, APenaltyThatLooksAtNoTokenIsNone) {
  GgufBuilder builder = GgufBuilder::tiny_llama();
  builder.set_f32("general.sampling.penalty_repeat", 1.5f);
  builder.set_i32("general.sampling.penalty_last_n", 0);
  const SamplingDefaults defaults = defaults_of(builder);
  EXPECT_FALSE(defaults.repetition_penalty);
  EXPECT_TRUE(defaults.unsupported.empty());
}

// The file itself loads, because an operator may not want its defaults.
TEST(GgufSampling, AValueOfAnotherKindIsRefusedWhenItIsAskedFor) {
  for (const char* name : {"temp", "top_p", "min_p", "top_k", "penalty_repeat"}) {
    GgufBuilder builder = GgufBuilder::tiny_llama();
    const std::string key = std::string("general.sampling.") + name;
    builder.set_string(key, "hot");
    const testing::Bytes bytes = builder.build();
    const GgufModel model(bytes);
    try {
      (void)model.sampling_defaults();
      ADD_FAILURE() << key << " was taken";
    } catch (const LoadError& error) {
      EXPECT_NE(std::string(error.what()).find(key), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("string"), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace lockstep
