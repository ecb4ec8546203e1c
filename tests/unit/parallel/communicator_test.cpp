// The contract of Communicator, tested through the interface: every implementation must pass, on
// every kind of group that this machine can make. The data lies in the device memory of the ranks.
#include "parallel/communicator.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <ostream>
#include <thread>
#include <vector>

#include "tests/support/device_values.h"
#include "tests/support/rank_groups.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::all_group_kinds;
using testing::DeviceValues;
using testing::GroupKind;
using testing::TestRank;
using testing::wait_done;

constexpr milliseconds kPatient{20000};

struct GroupOf {
  const GroupKind* kind = nullptr;
  int n_ranks = 0;
};
std::string name_of(const GroupOf& group) {
  return group.kind->name() + "_" + std::to_string(group.n_ranks);
}
std::ostream& operator<<(std::ostream& out, const GroupOf& group) { return out << name_of(group); }

// Groups of every kind, in each of the sizes that the kind can have.
std::vector<GroupOf> groups_of(const std::vector<int>& sizes) {
  std::vector<GroupOf> groups;
  for (const auto& kind : all_group_kinds()) {
    for (int n : sizes) {
      if (n <= kind->max_ranks()) groups.push_back({kind.get(), n});
    }
  }
  return groups;
}

class AnyGroup : public ::testing::TestWithParam<GroupOf> {
 protected:
  void on_ranks(milliseconds deadline, const std::function<void(TestRank&)>& body) {
    std::vector<TestRank> ranks = GetParam().kind->make(n_ranks(), deadline);
    testing::on_ranks(ranks, body);
  }
  int n_ranks() const { return GetParam().n_ranks; }
};

const auto kGroupName = [](const auto& test) { return name_of(test.param); };
class CommunicatorOf : public AnyGroup {};
INSTANTIATE_TEST_SUITE_P(Groups, CommunicatorOf, ::testing::ValuesIn(groups_of({1, 2, 3, 8})),
                         kGroupName);
// Groups of several ranks, for tests in which one rank is missing, late or different.
class CommunicatorOfSeveral : public AnyGroup {};
INSTANTIATE_TEST_SUITE_P(Groups, CommunicatorOfSeveral, ::testing::ValuesIn(groups_of({2, 4})),
                         kGroupName);

TEST_P(CommunicatorOf, GathersInRankOrder) {
  on_ranks(kPatient, [&](TestRank& rank) {
    Communicator& comm = *rank.communicator;
    EXPECT_EQ(comm.size(), n_ranks());
    // From one value to well above the size that implementations treat as small.
    for (int64_t n : {1, 7, 1000, 50000}) {
      DeviceValues<float> mine(*rank.device, 2 * n), all(*rank.device, 2 * n * n_ranks());
      mine.fill(static_cast<float>(comm.rank() + 1));
      all.fill(-1.0f);
      const CommResult queued = comm.all_gather(view(mine.data(), {2, n}),
                                                view(all.data(), {2 * n_ranks(), n}), *rank.stream);
      ASSERT_EQ(wait_done(rank, queued), CommResult::kOk);
      const std::vector<float> gathered = all.get();
      for (size_t i = 0; i < gathered.size(); ++i) {
        const auto owner = static_cast<int64_t>(i) / (2 * n);
        ASSERT_EQ(gathered[i], static_cast<float>(owner + 1)) << "n " << n << " at " << i;
      }
    }
  });
}

// A gather moves bits without arithmetic: it keeps even bits that an IEEE 754 addition may change.
TEST_P(CommunicatorOf, GathersEveryBit) {
  on_ranks(kPatient, [&](TestRank& rank) {
    const std::vector<uint32_t> bits{0x80000000u, 0x00000001u, 0x7f800001u, 0xffc12345u};
    DeviceValues<uint32_t> mine(*rank.device, 4), all(*rank.device, 4 * n_ranks());
    mine.set(bits);
    View from = view(reinterpret_cast<float*>(mine.data()), {4});
    View to = view(reinterpret_cast<float*>(all.data()), {4 * n_ranks()});
    ASSERT_EQ(wait_done(rank, rank.communicator->all_gather(from, to, *rank.stream)),
              CommResult::kOk);
    const std::vector<uint32_t> gathered = all.get();
    for (size_t i = 0; i < gathered.size(); ++i) EXPECT_EQ(gathered[i], bits[i % 4]) << i;
  });
}

// Every rank rewrites its buffer right after a call, so no other rank may still be reading it.
TEST_P(CommunicatorOf, AFinishedGatherNoLongerReadsTheSender) {
  on_ranks(kPatient, [&](TestRank& rank) {
    Communicator& comm = *rank.communicator;
    for (int64_t n : {5, 20000}) {
      DeviceValues<int32_t> mine(*rank.device, n), all(*rank.device, n * n_ranks());
      for (int round = 0; round < 50; ++round) {
        mine.fill(round * 100 + comm.rank());
        ASSERT_EQ(wait_done(rank, comm.all_gather(mine.as_view(), all.as_view(), *rank.stream)),
                  CommResult::kOk);
        const std::vector<int32_t> gathered = all.get();
        for (size_t i = 0; i < gathered.size(); ++i) {
          const auto owner = static_cast<int32_t>(static_cast<int64_t>(i) / n);
          ASSERT_EQ(gathered[i], round * 100 + owner);
        }
      }
    }
  });
}

TEST_P(CommunicatorOf, BroadcastsFromAnyRoot) {
  on_ranks(kPatient, [&](TestRank& rank) {
    for (int64_t n : {3, 40000}) {
      DeviceValues<int32_t> data(*rank.device, n);
      for (int root = 0; root < n_ranks(); ++root) {
        data.fill(rank.communicator->rank());
        ASSERT_EQ(wait_done(rank, rank.communicator->broadcast(data.as_view(), root, *rank.stream)),
                  CommResult::kOk);
        EXPECT_EQ(data.get(), std::vector<int32_t>(static_cast<size_t>(n), root));
      }
    }
  });
}

TEST_P(CommunicatorOf, BarrierHoldsUntilAllAreThere) {
  std::atomic<int> n_there{0};
  on_ranks(kPatient, [&](TestRank& rank) {
    for (int round = 1; round <= 100; ++round) {
      ++n_there;
      ASSERT_EQ(rank.communicator->barrier(), CommResult::kOk);
      EXPECT_GE(n_there.load(), round * n_ranks());
      ASSERT_EQ(rank.communicator->barrier(), CommResult::kOk);
    }
  });
}

TEST_P(CommunicatorOf, EqualValuesAgree) {
  on_ranks(kPatient, [&](TestRank& rank) {
    for (uint64_t value = 0; value < 20; ++value) {
      EXPECT_EQ(rank.communicator->agree(value << 60 | value), CommResult::kOk);
    }
  });
}

// A group whose ranks differ in it goes on.
TEST_P(CommunicatorOf, AllIsTrueOnlyIfItIsOnEveryRank) {
  on_ranks(kPatient, [&](TestRank& rank) {
    for (int round = 0; round < 3; ++round) {
      EXPECT_EQ(rank.communicator->all_true(true), CommResult::kOk);
      for (int odd_one = 0; odd_one < n_ranks(); ++odd_one) {
        EXPECT_EQ(rank.communicator->all_true(rank.communicator->rank() != odd_one),
                  CommResult::kMismatch);
      }
      EXPECT_EQ(rank.communicator->all_true(false), CommResult::kMismatch);
      EXPECT_EQ(rank.communicator->agree(7), CommResult::kOk);
      EXPECT_EQ(rank.communicator->check(), CommResult::kOk);
    }
  });
}

TEST_P(CommunicatorOf, NothingIsAcceptedAfterAnAbort) {
  on_ranks(kPatient, [&](TestRank& rank) {
    rank.communicator->abort();
    rank.communicator->abort();
    DeviceValues<float> data(*rank.device, 4);
    EXPECT_EQ(rank.communicator->barrier(), CommResult::kAborted);
    EXPECT_EQ(rank.communicator->agree(1), CommResult::kAborted);
    EXPECT_EQ(rank.communicator->all_true(true), CommResult::kAborted);
    EXPECT_EQ(rank.communicator->broadcast(data.as_view(), 0, *rank.stream), CommResult::kAborted);
  });
}

// Values that differ only in the highest bit differ, too.
TEST_P(CommunicatorOfSeveral, ADifferentValueIsAMismatchOnEveryRankAndEndsTheGroup) {
  for (int odd_one = 0; odd_one < n_ranks(); ++odd_one) {
    on_ranks(kPatient, [&](TestRank& rank) {
      const uint64_t value = rank.communicator->rank() == odd_one ? 7 | uint64_t{1} << 63 : 7;
      EXPECT_EQ(rank.communicator->agree(value), CommResult::kMismatch);
      EXPECT_EQ(rank.communicator->barrier(), CommResult::kAborted);
    });
  }
}

TEST_P(CommunicatorOfSeveral, AMissingRankIsATimeoutAndEndsTheGroup) {
  std::atomic<int> n_timeouts{0};
  on_ranks(milliseconds(50), [&](TestRank& rank) {
    if (rank.communicator->rank() == 1) return;
    const auto begin = steady_clock::now();
    const CommResult result = rank.communicator->barrier();
    EXPECT_NE(result, CommResult::kOk);
    if (result == CommResult::kTimeout) {
      ++n_timeouts;
      EXPECT_GE(steady_clock::now() - begin, milliseconds(50));
    }
    EXPECT_EQ(rank.communicator->barrier(), CommResult::kAborted) << "later calls fail at once";
  });
  EXPECT_GE(n_timeouts.load(), 1);
}

TEST_P(CommunicatorOfSeveral, ALateRankFindsTheGroupAborted) {
  std::atomic<bool> gave_up{false};
  on_ranks(milliseconds(30), [&](TestRank& rank) {
    DeviceValues<float> mine(*rank.device, 4), all(*rank.device, 4 * n_ranks());
    const auto gather = [&] {
      return wait_done(rank,
                       rank.communicator->all_gather(mine.as_view(), all.as_view(), *rank.stream));
    };
    if (rank.communicator->rank() == 0) {
      EXPECT_EQ(gather(), CommResult::kTimeout);
      gave_up = true;
    } else {
      while (!gave_up) std::this_thread::sleep_for(milliseconds(1));
      EXPECT_EQ(gather(), CommResult::kAborted);
    }
  });
}

TEST_P(CommunicatorOfSeveral, AbortWakesEveryWaiter) {
  const auto begin = steady_clock::now();
  const int absent = n_ranks() - 1;
  on_ranks(kPatient, [&](TestRank& rank) {
    if (rank.communicator->rank() == absent) {
      std::this_thread::sleep_for(milliseconds(20));
      rank.communicator->abort();
      return;
    }
    DeviceValues<int32_t> data(*rank.device, 3);
    EXPECT_EQ(wait_done(rank, rank.communicator->broadcast(data.as_view(), absent, *rank.stream)),
              CommResult::kAborted);
    EXPECT_EQ(rank.communicator->agree(1), CommResult::kAborted);
  });
  EXPECT_LT(steady_clock::now() - begin, kPatient / 2);
}

// Any thread may call abort(), also while the owner is inside a call.
TEST_P(CommunicatorOfSeveral, AStrangerMayAbortARankThatWaits) {
  const auto begin = steady_clock::now();
  on_ranks(kPatient, [&](TestRank& rank) {
    if (rank.communicator->rank() != 0) return;
    std::thread stranger([&] {
      std::this_thread::sleep_for(milliseconds(20));
      rank.communicator->abort();
    });
    EXPECT_EQ(rank.communicator->barrier(), CommResult::kAborted);
    stranger.join();
  });
  EXPECT_LT(steady_clock::now() - begin, kPatient / 2);
}

TEST(Communicator, ResultsHaveNames) {
  EXPECT_STREQ(to_string(CommResult::kOk), "ok");
  EXPECT_STREQ(to_string(CommResult::kTimeout), "timeout");
  EXPECT_STREQ(to_string(CommResult::kAborted), "aborted");
  EXPECT_STREQ(to_string(CommResult::kMismatch), "mismatch");
}

TEST(Communicator, SaysOnWhichDevicesNcclWasTested) {
  std::string why_none;
  const auto real = testing::nccl_on_real_devices(why_none);
  const std::string devices =
      real == nullptr ? "none (" + why_none + ")" : std::to_string(real->max_ranks());
  std::printf("NCCL on real devices: %s\n", devices.c_str());
  EXPECT_EQ(real == nullptr, !why_none.empty());
}

}  // namespace
}  // namespace lockstep
