// Models of each family give the CPU's logits on emulated GPUs, bit for bit.
#include <gtest/gtest.h>

#include "tests/bits/tiny_models.h"
#include "tests/cuda_node/emulated_gpus.h"
#include "tests/support/equal_bits.h"

namespace lockstep::testing {
namespace {

Ids prompt_of(int64_t vocab_size) {
  Ids prompt;
  for (int32_t i = 0; i < 40; ++i) prompt.push_back(static_cast<int32_t>((7 * i + 3) % vocab_size));
  return prompt;
}

TEST(CudaNode, GivesTheLogitsOfEveryFamily) {
  constexpr int kNew = 3;
  for (const NamedSpec& model : {biased(), normed_heads(), fused_windowed(), unrotated_layer()}) {
    SCOPED_TRACE(model.name);
    const Ids prompt = prompt_of(model.spec.shape.vocab_size);
    const Generation cpu = run(model, {}, prompt, kNew);
    const Generation gpu =
        run(model, {.devices = emulated_gpus(2), .n_ranks = 2, .chunk = 24}, prompt, kNew);
    EXPECT_EQ(gpu.ids, cpu.ids);
    ASSERT_EQ(gpu.logits.size(), cpu.logits.size());
    for (size_t i = 0; i < cpu.logits.size(); ++i) {
      EXPECT_TRUE(equal_bits(gpu.logits[i], cpu.logits[i])) << "token " << i;
    }
  }
}

}  // namespace
}  // namespace lockstep::testing
