// Every cell of the grid.
#include "tests/bits/oracle_grid.h"

namespace lockstep::testing {
namespace {

TEST(OracleGrid, EveryCellGivesTheOraclesTokens) {
  for (const char* name : kOracleModels) {
    const OracleGrid grid(name);
    for (const GridCell& cell : grid.cells()) grid.expect_the_oracles(cell);
  }
}

}  // namespace
}  // namespace lockstep::testing
