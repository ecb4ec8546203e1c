// A folder of Hugging Face and the GGUF file of the same weights are one model: each bit of the
// logits and the fingerprint are equal, for every tensor-parallel size.
#include <gtest/gtest.h>

#include <algorithm>

#include "node/model/files/open_model_file.h"
#include "node/model/rank/possible_shards.h"
#include "tests/support/model_runner.h"
#include "tests/support/paths.h"

namespace lockstep::testing {
namespace {

struct Twin {
  const char* folder;
  const char* gguf;
};
constexpr Twin kTwins[] = {
    {"tiny-9-f32", "tiny-9-f32"},
    {"tiny-tp-f32", "tiny-tp-f32"},
    {"tiny-tp-f32-3-files", "tiny-tp-f32"},
    {"tiny-l31-f32", "tiny-l31-f32"},
    {"tiny-hd-f32", "tiny-hd-f32"},
    {"tiny-bias-f32", "tiny-bias-f32"},
    {"tiny-bias-bf16", "tiny-bias-bf16"},
    {"tiny-mistral-f32", "tiny-mistral-f32"},
    {"tiny-qw2-tied-f32", "tiny-qw2-tied-f32"},
    {"tiny-qw2-untied-f32", "tiny-qw2-untied-f32"},
    {"tiny-qw3-f32", "tiny-qw3-f32"},
    {"tiny-smollm3-f32", "tiny-smollm3-f32"},
    {"tiny-phi3-f32", "tiny-phi3-f32"},
};

void PrintTo(const Twin& twin, std::ostream* out) { *out << twin.folder; }

class HuggingFaceTwin : public ::testing::TestWithParam<Twin> {};
INSTANTIATE_TEST_SUITE_P(Models, HuggingFaceTwin, ::testing::ValuesIn(kTwins),
                         [](const auto& info) {
                           std::string name = info.param.folder;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(HuggingFaceTwin, GivesTheBitsOfTheGgufFile) {
  const auto folder = open_model_file(tiny_models() + "/" + GetParam().folder);
  const auto gguf = open_model_file(tiny_models() + "/" + GetParam().gguf + ".gguf");
  const std::vector<int> sizes = possible_shards(gguf->config()).tensor_parallel_sizes;
  const Ids prompt = random_prompt(37, gguf->config().shape.vocab_size, 5);
  ModelRunner expected(*gguf, {});
  const Generation answer = expected.generate(prompt, 6);
  for (const int n_ranks : {1, 2, 3}) {
    if (std::find(sizes.begin(), sizes.end(), n_ranks) == sizes.end()) continue;
    ModelRunner runner(*folder, {.n_ranks = n_ranks});
    EXPECT_EQ(runner.group().numerics_fingerprint(), expected.group().numerics_fingerprint())
        << n_ranks << " ranks";
    expect_same_bits(runner.generate(prompt, 6), answer,
                     std::string(GetParam().folder) + " on " + std::to_string(n_ranks) + " ranks");
  }
}

TEST(HuggingFaceTwins, RunOnOneTwoAndThreeRanks) {
  for (const char* name : {"tiny-9-f32", "tiny-bias-bf16", "tiny-tp-f32-3-files"}) {
    const auto file = open_model_file(tiny_models() + "/" + name);
    const std::vector<int> sizes = possible_shards(file->config()).tensor_parallel_sizes;
    for (const int n_ranks : {1, 2, 3}) {
      EXPECT_EQ(std::count(sizes.begin(), sizes.end(), n_ranks), 1) << name << ", " << n_ranks;
    }
  }
}

}  // namespace
}  // namespace lockstep::testing
