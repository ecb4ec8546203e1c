// Threads that the system refuses while a model loads: whichever it is, the others are joined and
// the load fails with one line.
#include <gtest/gtest.h>

#include "common/fault_points.h"
#include "common/load_error.h"
#include "kernels/cpu/team/thread_team.h"
#include "node/engine/core/engine.h"
#include "tests/unit/model/rank_group_driver.h"

namespace lockstep::testing {
namespace {

template <class Start>
std::string load_failure(const Start& start) {
  try {
    start();
  } catch (const LoadError& error) {
    return error.what();
  }
  return "started";
}

TEST(RefusedThreads, ATeamOfWhichOneIsRefusedLeavesNoneBehind) {
  MemoryLedger ledger;
  const auto start = [&] { const ThreadTeam team({.n_threads = 4, .scratch = {}}, ledger); };
  for (uint64_t refused = 1; refused <= 3; ++refused) {
    const ArmedFault fault(Fault::kThreadRefused, refused);
    EXPECT_EQ(load_failure(start), "cannot start a thread for thread " +
                                       std::to_string(refused + 1) +
                                       " of the 4 of a rank: Resource temporarily unavailable");
    EXPECT_EQ(fault.n_asked(), refused);
  }
  EXPECT_EQ(load_failure(start), "started");
}

// Two ranks and a helper of each.
TEST(RefusedThreads, RanksOfWhichOneLacksAThreadDoNotStart) {
  const FakeModelFile file({});
  RankGroupConfig config = config_of(2);
  config.threads_per_rank = 2;
  const auto start = [&] {
    MemoryLedger ledger;
    const RankGroup group(file, config, ledger);
  };
  for (uint64_t refused = 1; refused <= 4; ++refused) {
    const ArmedFault fault(Fault::kThreadRefused, refused);
    const std::string line = load_failure(start);
    EXPECT_EQ(line.find("cannot start a thread for "), 0u) << line;
    EXPECT_EQ(fault.n_fired(), 1u);
  }
  EXPECT_EQ(load_failure(start), "started");
}

}  // namespace
}  // namespace lockstep::testing
