// Runs a sample of the grid, every mode of every model; tests/slow/bits runs all of it.
#include "tests/bits/oracle_grid.h"

namespace lockstep::testing {
namespace {

TEST(OracleGrid, ASampleOfItsCellsGivesTheOraclesTokens) {
  SeededRandom random(2027);
  for (const char* name : kOracleModels) {
    const OracleGrid grid(name);
    const std::vector<GridCell> cells = grid.cells();
    for (int mode = 0; mode < kNKvModes; ++mode) {
      const int64_t n_others = std::ssize(cells) / kNKvModes;
      const int64_t pick = random.integer(0, n_others - 1) * kNKvModes + mode;
      grid.expect_the_oracles(cells[static_cast<size_t>(pick)]);
    }
  }
}

}  // namespace
}  // namespace lockstep::testing
