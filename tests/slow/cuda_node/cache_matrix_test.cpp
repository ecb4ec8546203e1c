// More cells of the matrix on emulated GPUs, and one transcript of SmolLM2.
#include "tests/bits/cache_matrix.h"

#include "node/model/files/open_model_file.h"
#include "tests/cuda_node/emulated_gpus.h"
#include "tests/support/model_runner.h"
#include "tests/support/paths.h"

namespace lockstep::testing {
namespace {

TEST(CudaNode, GivesTheTranscriptInEveryKindOfCell) {
  const CacheMatrix matrix(emulated_gpus(3));
  for (const Cell& cell : CacheMatrix::sample(6, 2028)) {
    if (cell.fate != Fate::kNoKvCache) matrix.expect_the_transcript(cell);
  }
}

TEST(CudaNode, GivesTheTokensOfSmolLm2) {
  const auto file = open_model_file(smollm2());
  const Ids prompt{504, 3575, 282, 4649, 314, 253, 1165, 30};
  RunnerOptions options{.n_ranks = 2, .max_seqs = 8, .max_model_len = 64};
  const Generation on_cpu = ModelRunner(*file, options).generate(prompt, 4);
  options.devices = emulated_gpus(2);
  expect_same_bits(ModelRunner(*file, options).generate(prompt, 4), on_cpu, "SmolLM2");
}

}  // namespace
}  // namespace lockstep::testing
