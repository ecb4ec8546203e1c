// A sample of the matrix; tests/slow/bits has all of it.
#include "tests/bits/cache_matrix.h"

namespace lockstep::testing {
namespace {

TEST(CacheMatrix, ASampleOfItsCellsGivesTheTranscript) {
  const CacheMatrix matrix;
  const std::vector<Cell> cells = CacheMatrix::cells();
  SeededRandom random(2026);
  for (int fate = 0; fate < kNFates; ++fate) {
    std::vector<Cell> of_fate;
    std::ranges::copy_if(cells, std::back_inserter(of_fate),
                         [&](const Cell& cell) { return static_cast<int>(cell.fate) == fate; });
    for (int i = 0; i < 6; ++i) {
      const auto pick = static_cast<size_t>(random.integer(0, std::ssize(of_fate) - 1));
      matrix.expect_the_transcript(of_fate[pick]);
    }
  }
}

}  // namespace
}  // namespace lockstep::testing
