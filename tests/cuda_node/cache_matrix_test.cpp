// The engine on emulated GPUs gives the CPU's tokens, whatever becomes of a prompt's keys and
// values. tests/slow/cuda_node runs more cells; recomputing everything for each token takes too
// long for a cell, and is a cluster test of a few tokens.
#include "tests/bits/cache_matrix.h"

#include "tests/cuda_node/emulated_gpus.h"

namespace lockstep::testing {
namespace {

TEST(CudaNode, GivesTheTranscriptWhateverBecomesOfThePrompt) {
  const CacheMatrix matrix(emulated_gpus(3));
  for (const Cell& cell : {
           Cell{.fate = Fate::kCached, .n_ranks = 1, .block_size = 16, .chunk = 320},
           Cell{.fate = Fate::kNotKept, .n_ranks = 2, .block_size = 32, .chunk = 16},
           Cell{.fate = Fate::kEvicted, .n_ranks = 3, .block_size = 8, .chunk = 320},
           Cell{.fate = Fate::kThroughHost, .n_ranks = 2, .block_size = 16, .chunk = 320},
           Cell{.fate = Fate::kPreempted, .n_ranks = 1, .block_size = 16, .chunk = 320},
           Cell{.fate = Fate::kPartlyMatched,
           .n_ranks = 3,
           .block_size = 16,
           .chunk = 320,
           .in_a_crowd = true,
           .offset = 21},
       }) {
    matrix.expect_the_transcript(cell);
  }
}

}  // namespace
}  // namespace lockstep::testing
