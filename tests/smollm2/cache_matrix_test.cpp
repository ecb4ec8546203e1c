// A cell of each fate of the matrix (tests/bits/cache_matrix.h) on real weights.
#include "tests/bits/cache_matrix.h"

#include "node/model/files/open_model_file.h"
#include "tests/support/paths.h"

namespace lockstep::testing {
namespace {

TEST(SmolLm2CacheMatrix, ACellOfEachFateGivesTheTranscript) {
  const CacheMatrix matrix(open_model_file(smollm2()));
  for (const Cell& cell : CacheMatrix::sample(1, 5)) matrix.expect_the_transcript(cell);
}

}  // namespace
}  // namespace lockstep::testing
