// Every tensor-parallel size gives the same ids and the same bits of every logit.
#include <gtest/gtest.h>

#include "tests/bits/tiny_models.h"

namespace lockstep::testing {
namespace {

void expect_every_degree_equal(const NamedSpec& model, int max_ranks) {
  const Ids prompt = random_prompt(37, model.spec.shape.vocab_size, 5);
  const Generation alone = run(model, {}, prompt, 6);
  for (int n_ranks = 2; n_ranks <= max_ranks; ++n_ranks) {
    expect_same_bits(run(model, {.n_ranks = n_ranks}, prompt, 6), alone,
                     model.name + " on " + std::to_string(n_ranks) + " ranks");
  }
}

TEST(TensorParallel, NineHeadsOnOneTwoAndThreeRanks) { expect_every_degree_equal(nine_heads(), 3); }

TEST(TensorParallel, EightLeavesOnOneToEightRanks) { expect_every_degree_equal(eight_leaves(), 8); }

TEST(TensorParallel, BiasesAndFloatWeightsOnOneToEightRanks) {
  expect_every_degree_equal(biased(), 8);
}

TEST(TensorParallel, SuperBlocksOfKQuantsAreCutAmongOneToEightRanks) {
  expect_every_degree_equal(k_quants(), 8);
}

TEST(TensorParallel, EveryKvTypeIsShardedAlike) {
  const NamedSpec model = eight_leaves();
  const Ids prompt = random_prompt(20, model.spec.shape.vocab_size, 6);
  for (DType kv :
       {DType::kF16, DType::kBF16, DType::kF32, DType::kQ8_0, DType::kK16V8, DType::kK16V16}) {
    const Generation alone = run(model, {.kv_dtype = kv}, prompt, 4);
    expect_same_bits(run(model, {.n_ranks = 3, .kv_dtype = kv}, prompt, 4), alone,
                     "KV type " + std::to_string(static_cast<int>(kv)));
  }
}

TEST(TensorParallel, RanksWithTeamsOfThreadsAreEqualToo) {
  const NamedSpec model = nine_heads();
  const Ids prompt = random_prompt(30, model.spec.shape.vocab_size, 7);
  expect_same_bits(run(model, {.n_ranks = 2, .threads_per_rank = 2}, prompt, 4),
                   run(model, {}, prompt, 4), "2 ranks x 2 threads");
}

TEST(TensorParallel, TheFingerprintDoesNotKnowTheDegree) {
  for (const NamedSpec& model : {eight_leaves(), k_quants()}) {
    const FakeModelFile file(model.spec);
    const std::string alone = ModelRunner(file, {}).group().numerics_fingerprint();
    for (int n_ranks : {2, 5, 8}) {
      ModelRunner runner(file, {.n_ranks = n_ranks});
      EXPECT_EQ(runner.group().numerics_fingerprint(), alone) << model.name;
    }
  }
}

}  // namespace
}  // namespace lockstep::testing
