// Every cell of the matrix.
#include "tests/bits/cache_matrix.h"

namespace lockstep::testing {
namespace {

TEST(CacheMatrix, EveryCellGivesTheTranscript) {
  const CacheMatrix matrix;
  for (const Cell& cell : CacheMatrix::cells()) matrix.expect_the_transcript(cell);
}

}  // namespace
}  // namespace lockstep::testing
