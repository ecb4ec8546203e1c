// What the KV dtypes k16v8 and k16v16 cost on real weights. The weights and activations are f32, so
// that the dtype is the only difference. bench/kv_dtype_quality measures the same on longer texts.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "node/model/files/open_model_file.h"
#include "node/text/tokenizer/tokenizer.h"
#include "tests/support/divergence.h"
#include "tests/support/paths.h"

namespace lockstep::testing {
namespace {

TEST(SmolLm2KvDtype, WholeNumbersMoveTheDistributionsByLessThanTheirLimits) {
  constexpr size_t kTokens = 512;
  const auto file = open_model_file(smollm2_f32());
  std::stringstream text;
  text << std::ifstream(source_dir() + "/docs/kv-cache.md").rdbuf();
  Ids tokens = (*make_tokenizer(file->tokenizer()))->encode(text.str(), true, false);
  ASSERT_GE(tokens.size(), kTokens);
  tokens.resize(kTokens);
  const auto logits_with = [&](DType dtype) {
    ModelRunner runner(*file, {.threads_per_rank = 2,
                               .kv_dtype = dtype,
                               .chunk = 1,
                               .max_seqs = 64,
                               .max_model_len = kTokens});
    return runner.forced_logits(tokens);
  };
  const std::vector<Logits> with_f16 = logits_with(DType::kF16);
  for (const auto& [dtype, mean_limit, worst_limit] :
       {std::tuple(DType::kK16V8, 1.5e-4, 6e-3), std::tuple(DType::kK16V16, 1e-5, 6e-4)}) {
    const std::vector<Logits> got = logits_with(dtype);
    double sum = 0, worst = 0;
    for (size_t i = 0; i < kTokens; ++i) {
      const double kl = divergence(with_f16[i], got[i]);
      sum += kl;
      worst = std::max(worst, kl);
    }
    std::printf("%s: KL from f16 mean %.2e, worst %.2e\n",
                dtype == DType::kK16V8 ? "k16v8" : "k16v16", sum / kTokens, worst);
    EXPECT_GT(sum, 0.0);
    EXPECT_LE(sum / kTokens, mean_limit);
    EXPECT_LE(worst, worst_limit);
  }
}

}  // namespace
}  // namespace lockstep::testing
