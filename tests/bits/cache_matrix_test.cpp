// Runs a sample of the matrix; tests/slow/bits runs all of it.
#include "tests/bits/cache_matrix.h"

namespace lockstep::testing {
namespace {

TEST(CacheMatrix, ASampleOfItsCellsGivesTheTranscript) {
  const CacheMatrix matrix;
  for (const Cell& cell : CacheMatrix::sample(6, 2026)) matrix.expect_the_transcript(cell);
}

}  // namespace
}  // namespace lockstep::testing
