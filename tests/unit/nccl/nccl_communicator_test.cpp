// How the NCCL communicator meets what communicator_test cannot provoke: ranks that never join, an
// NCCL that fails, hangs or is slow. Over the emulated NCCL, which is told what to do wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <future>
#include <mutex>
#include <numeric>
#include <system_error>
#include <thread>

#include "tests/support/device_values.h"
#include "tests/support/emulated_nccl.h"
#include "tests/support/rank_groups.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::AllOf;
using testing::DeviceValues;
using ::testing::Each;
using testing::EmulatedNccl;
using ::testing::HasSubstr;
using testing::TestRank;
using testing::wait_done;

// Of nccl.h, which tests do without.
constexpr int kNcclSystemError = 2;
constexpr int kNcclRemoteError = 6;

constexpr milliseconds kShort{60};
constexpr milliseconds kPatient{20'000};
constexpr milliseconds kSoon{5'000};
constexpr milliseconds kClose{300};

milliseconds since(steady_clock::time_point begin) {
  return std::chrono::duration_cast<milliseconds>(steady_clock::now() - begin);
}

class NcclCommunicatorTest : public ::testing::Test {
 protected:
  ~NcclCommunicatorTest() override {
    EXPECT_EQ(nccl_.stats().n_live, 0) << "a communicator was left open";
    EXPECT_EQ(nccl_.stats().n_intrusions, 0) << "two threads inside one communicator";
  }

  Result<std::vector<std::unique_ptr<Communicator>>> try_make(int n_ranks,
                                                              const NcclDeadlines& deadlines) {
    std::vector<int> device_idxs(static_cast<size_t>(n_ranks));
    std::iota(device_idxs.begin(), device_idxs.end(), 0);
    return make_nccl_group(nccl_.library(), device_idxs, deadlines);
  }

  std::vector<TestRank> make(int n_ranks, milliseconds call_deadline) {
    auto group = value_or_throw(try_make(n_ranks, {.call = call_deadline, .close = kClose}));
    return with_devices(std::move(group));
  }

  // Ranks that know of each other through NCCL alone, as those of several processes do.
  std::vector<TestRank> make_as_processes(int n_ranks, milliseconds call_deadline) {
    const NcclGroupId id = value_or_throw(nccl_.library().make_group_id());
    std::vector<std::unique_ptr<Communicator>> group(static_cast<size_t>(n_ranks));
    std::vector<std::thread> threads;
    threads.reserve(group.size());
    for (int r = 0; r < n_ranks; ++r) {
      threads.emplace_back([&, r] {
        group[static_cast<size_t>(r)] = value_or_throw(
            nccl_.library().join({.group_id = id,
                                  .rank = r,
                                  .size = n_ranks,
                                  .device_idx = r,
                                  .deadlines = {.join = kPatient, .call = call_deadline}}));
      });
    }
    for (std::thread& thread : threads) thread.join();
    return with_devices(std::move(group));
  }

  // What each rank's barrier() says, all called at once.
  static std::vector<CommResult> barriers(std::vector<TestRank>& ranks) {
    std::vector<CommResult> results(ranks.size());
    testing::on_ranks(ranks, [&](TestRank& rank) {
      results[static_cast<size_t>(rank.communicator->rank())] = rank.communicator->barrier();
    });
    return results;
  }

  // Whether the ranks can be destroyed within kSoon. If not, what holds them up is let go.
  bool ends_soon(std::vector<TestRank>& ranks) {
    auto ended = std::async(std::launch::async, [&] { ranks.clear(); });
    const bool soon = ended.wait_for(kSoon) == std::future_status::ready;
    if (!soon) nccl_.set({});
    return soon;
  }

  void let_it_return() {
    nccl_.set({});
    while (nccl_.stats().n_live > 0) std::this_thread::sleep_for(milliseconds(1));
  }

  EmulatedNccl nccl_;

 private:
  std::vector<TestRank> with_devices(std::vector<std::unique_ptr<Communicator>> group) {
    std::vector<TestRank> ranks;
    for (auto& communicator : group) {
      auto ledger = std::make_unique<MemoryLedger>();
      auto device = nccl_.module().open(communicator->rank());
      auto stream = device->make_stream({}, *ledger);
      ranks.push_back(
          {std::move(ledger), std::move(device), std::move(stream), std::move(communicator)});
    }
    return ranks;
  }
};

// --- Joining ---

TEST_F(NcclCommunicatorTest, ARankThatNeverJoinsIsATimeoutThatNamesTheNumbers) {
  const NcclGroupId id = value_or_throw(nccl_.library().make_group_id());
  const auto begin = steady_clock::now();
  const auto joined = nccl_.library().join(
      {.group_id = id, .rank = 1, .size = 3, .device_idx = 2, .deadlines = {.join = kShort}});
  ASSERT_FALSE(joined.has_value());
  EXPECT_EQ(joined.error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_THAT(joined.error().message,
              AllOf(HasSubstr("rank 1 of 3"), HasSubstr("CUDA device 2"), HasSubstr("60 ms")));
  EXPECT_GE(since(begin), kShort);
  EXPECT_LT(since(begin), kSoon);
}

TEST_F(NcclCommunicatorTest, AnInitThatNeverEndsStopsTheRanksOfTheProcessAndLeavesNothingOpen) {
  nccl_.set({.rank = 1, .joining_never_ends = true});
  const auto group = try_make(3, {.join = kShort});
  ASSERT_FALSE(group.has_value());
  EXPECT_EQ(group.error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(nccl_.stats().n_aborted, 3);
}

TEST_F(NcclCommunicatorTest, TheRankThatCannotJoinIsBlamedAndTheOthersDoNotWaitForIt) {
  nccl_.set({.rank = 1, .join_result = kNcclSystemError});
  const auto begin = steady_clock::now();
  const auto group = try_make(3, {.join = kPatient});
  ASSERT_FALSE(group.has_value());
  EXPECT_EQ(group.error().code, ErrorCode::kInternal);
  EXPECT_THAT(group.error().message,
              AllOf(HasSubstr("rank 1 of 3"), HasSubstr("as the test wanted")));
  EXPECT_LT(since(begin), kPatient / 2);
}

TEST_F(NcclCommunicatorTest, TheFirstMeetingIsPartOfJoining) {
  nccl_.set({.rank = 0, .issuing_never_ends = true});
  const auto group = try_make(2, {.join = kShort});
  ASSERT_FALSE(group.has_value());
  EXPECT_EQ(group.error().code, ErrorCode::kDeadlineExceeded);
}

TEST_F(NcclCommunicatorTest, ADeviceThatIsNotThereIsAnError) {
  const std::vector<int> device_idxs{0, 99};
  const auto begin = steady_clock::now();
  const auto group = make_nccl_group(nccl_.library(), device_idxs, {.join = kPatient});
  ASSERT_FALSE(group.has_value());
  EXPECT_THAT(group.error().message,
              AllOf(HasSubstr("CUDA device 99"), HasSubstr("invalid device")));
  EXPECT_LT(since(begin), kPatient / 2);
}

TEST_F(NcclCommunicatorTest, AnIdIsPlainBytesThatAnyRankMayBeHanded) {
  auto ranks = make_as_processes(2, kPatient);
  EXPECT_THAT(barriers(ranks), Each(CommResult::kOk));
}

// A first use makes connections and loads kernels: not within the deadline of a step's call.
TEST_F(NcclCommunicatorTest, EveryKindOfCollectiveIsUsedOnceWhileJoining) {
  auto ranks = make(3, kPatient);
  EXPECT_EQ(nccl_.stats().n_gathers, 3);
  EXPECT_EQ(nccl_.stats().n_broadcasts, 3);
  EXPECT_GT(nccl_.stats().n_state_polls, 0);
}

// --- Calls ---

TEST_F(NcclCommunicatorTest, NcclMayQueueACallAtOnceOrMuchLater) {
  for (int n_polls : {0, 1, 200}) {
    nccl_.set({.n_polls = n_polls});
    auto ranks = make(2, kPatient);
    EXPECT_THAT(barriers(ranks), Each(CommResult::kOk)) << n_polls;
    EXPECT_THAT(barriers(ranks), Each(CommResult::kOk)) << n_polls;
  }
}

TEST_F(NcclCommunicatorTest, AnErrorThatNcclReportsLaterEndsTheGroupAtOnce) {
  auto ranks = make(3, kPatient);
  nccl_.set({.rank = 1, .async_error = kNcclSystemError});
  const auto begin = steady_clock::now();
  EXPECT_THAT(barriers(ranks), Each(CommResult::kAborted));
  EXPECT_THAT(barriers(ranks), Each(CommResult::kAborted));
  EXPECT_LT(since(begin), kPatient / 2);
  EXPECT_EQ(nccl_.stats().n_aborted, 3) << "every rank ends its own part";
}

TEST_F(NcclCommunicatorTest, WhatNcclSaysIsLogged) {
  static std::mutex mutex;
  static std::vector<std::string> lines;
  const NcclGroupId id = value_or_throw(nccl_.library().make_group_id());
  auto alone = value_or_throw(
      nccl_.library().join({.group_id = id, .log = [](LogLevel, std::string_view line) {
                              std::lock_guard lock(mutex);
                              lines.emplace_back(line);
                            }}));
  nccl_.set({.issue_result = kNcclRemoteError});
  EXPECT_EQ(alone->barrier(), CommResult::kAborted);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], AllOf(HasSubstr("rank=0"), HasSubstr("network error"),
                              HasSubstr("as the test wanted")));
}

TEST_F(NcclCommunicatorTest, ACollectiveThatCannotBeIssuedEndsTheGroup) {
  auto ranks = make(2, kPatient);
  nccl_.set({.rank = 1, .issue_result = kNcclSystemError});
  EXPECT_THAT(barriers(ranks), Each(CommResult::kAborted));
}

TEST_F(NcclCommunicatorTest, ACollectiveThatNeverReachesTheStreamIsATimeout) {
  auto ranks = make(1, kShort);
  nccl_.set({.issuing_never_ends = true});
  const auto begin = steady_clock::now();
  EXPECT_THAT(barriers(ranks), Each(CommResult::kTimeout));
  EXPECT_GE(since(begin), kShort);
  EXPECT_LT(since(begin), kSoon);
}

TEST_F(NcclCommunicatorTest, EveryKindOfCallHasTheDeadline) {
  const auto gather = [](TestRank& rank) {
    DeviceValues<float> mine(*rank.device, 4), all(*rank.device, 8);
    return wait_done(rank,
                     rank.communicator->all_gather(mine.as_view(), all.as_view(), *rank.stream));
  };
  const auto broadcast = [](TestRank& rank) {
    DeviceValues<float> data(*rank.device, 4);
    return wait_done(rank, rank.communicator->broadcast(data.as_view(), 1, *rank.stream));
  };
  const auto agree = [](TestRank& rank) { return rank.communicator->agree(1); };
  const auto barrier = [](TestRank& rank) { return rank.communicator->barrier(); };
  for (const std::function<CommResult(TestRank&)>& call :
       std::vector<std::function<CommResult(TestRank&)>>{gather, broadcast, agree, barrier}) {
    auto ranks = make(2, kShort);
    const auto begin = steady_clock::now();
    EXPECT_EQ(call(ranks[0]), CommResult::kTimeout);
    EXPECT_GE(since(begin), kShort);
    EXPECT_LT(since(begin), kSoon);
    EXPECT_EQ(call(ranks[0]), CommResult::kAborted);
    EXPECT_EQ(call(ranks[1]), CommResult::kAborted);
  }
}

// A slow rank has the same values on their way to it: that the others know already is not its end.
TEST_F(NcclCommunicatorTest, TheSlowestRankSeesTheMismatchToo) {
  auto ranks = make(3, kPatient);
  nccl_.set({.rank = 2, .n_slow_polls = 2000});
  std::atomic<int> n_mismatches{0};
  testing::on_ranks(ranks, [&](TestRank& rank) {
    n_mismatches +=
        rank.communicator->agree(rank.communicator->rank() == 0 ? 1 : 2) == CommResult::kMismatch;
  });
  EXPECT_EQ(n_mismatches.load(), 3);
  ranks.clear();
  EXPECT_EQ(nccl_.stats().n_aborted, 0) << "nothing was under way";
}

TEST_F(NcclCommunicatorTest, AnAbortInOneProcessReachesTheOthersThroughNccl) {
  nccl_.set({.others_notice = true});
  auto ranks = make_as_processes(2, kPatient);
  std::thread other([&] { EXPECT_EQ(ranks[1].communicator->barrier(), CommResult::kAborted); });
  ranks[0].communicator->abort();
  EXPECT_EQ(ranks[0].communicator->barrier(), CommResult::kAborted);
  other.join();
}

TEST_F(NcclCommunicatorTest, AProcessThatNcclDoesNotTellHasItsDeadline) {
  auto ranks = make_as_processes(2, kShort);
  ranks[0].communicator->abort();
  EXPECT_EQ(ranks[0].communicator->barrier(), CommResult::kAborted);
  EXPECT_EQ(ranks[1].communicator->barrier(), CommResult::kTimeout);
}

// --- The end ---

// While it lives, the system refuses every new thread: no address space has room for its stack.
class NoMoreThreads {
 public:
  NoMoreThreads() {
    pthread_attr_init(&before_);
    CHECK_EQ(pthread_getattr_default_np(&before_), 0);
    pthread_attr_t huge;
    pthread_attr_init(&huge);
    CHECK_EQ(pthread_attr_setstacksize(&huge, size_t{1} << 60), 0);
    CHECK_EQ(pthread_setattr_default_np(&huge), 0);
    pthread_attr_destroy(&huge);
  }
  ~NoMoreThreads() {
    pthread_setattr_default_np(&before_);
    pthread_attr_destroy(&before_);
  }
  NoMoreThreads(const NoMoreThreads&) = delete;
  NoMoreThreads& operator=(const NoMoreThreads&) = delete;

 private:
  pthread_attr_t before_{};
};

TEST_F(NcclCommunicatorTest, AGroupEndsEvenIfTheSystemRefusesTheThreadForIt) {
  auto healthy = make(2, kPatient), aborted = make(2, kPatient);
  aborted[0].communicator->abort();
  const NoMoreThreads refusing;
  EXPECT_THROW(std::thread([] {}).join(), std::system_error);
  healthy.clear();
  aborted.clear();
  EXPECT_EQ(nccl_.stats().n_destroyed, 2);
  EXPECT_EQ(nccl_.stats().n_aborted, 2);
}

TEST_F(NcclCommunicatorTest, AHealthyGroupIsFinalizedNotAborted) {
  make(3, kPatient).clear();
  EXPECT_EQ(nccl_.stats().n_destroyed, 3);
  EXPECT_EQ(nccl_.stats().n_aborted, 0);
}

TEST_F(NcclCommunicatorTest, AnAbortedGroupIsNotFinalized) {
  auto ranks = make(2, kPatient);
  ranks[0].communicator->abort();
  ranks.clear();
  EXPECT_EQ(nccl_.stats().n_destroyed, 0);
  EXPECT_EQ(nccl_.stats().n_aborted, 2);
}

TEST_F(NcclCommunicatorTest, AFinalizeThatNeverEndsIsAborted) {
  auto ranks = make(1, kPatient);
  nccl_.set({.finalizing_never_ends = true});
  const auto begin = steady_clock::now();
  ranks.clear();
  EXPECT_LT(since(begin), kSoon);
  EXPECT_EQ(nccl_.stats().n_aborted, 1);
}

// Such aborts are on record. The thread that waits for it is left behind with the memory that NCCL
// may use.
TEST_F(NcclCommunicatorTest, AnAbortThatNeverReturnsHoldsUpNoRank) {
  auto ranks = make(2, kShort);
  nccl_.set({.rank = 0, .abort_never_returns = true});
  EXPECT_EQ(ranks[0].communicator->barrier(), CommResult::kTimeout);
  EXPECT_EQ(ranks[0].communicator->barrier(), CommResult::kAborted);
  EXPECT_TRUE(ends_soon(ranks));
  EXPECT_EQ(nccl_.stats().n_live, 1);
  let_it_return();
}

// The collective hangs on the stream of the ops, which is then left behind as well.
TEST_F(NcclCommunicatorTest, AnAbortThatNeverReturnsHoldsUpNoStream) {
  auto ranks = make(2, kShort);
  const auto device = nccl_.module().open(0);
  DeviceValues<float> mine(*device, 4), all(*device, 8);  // that NCCL may write to, till it returns
  nccl_.set({.rank = 0, .abort_never_returns = true});
  EXPECT_EQ(wait_done(ranks[0], ranks[0].communicator->all_gather(mine.as_view(), all.as_view(),
                                                                  *ranks[0].stream)),
            CommResult::kTimeout);
  EXPECT_TRUE(ends_soon(ranks));
  EXPECT_EQ(nccl_.stats().n_live, 1);
  let_it_return();
}

TEST_F(NcclCommunicatorTest, ADestroyThatNeverReturnsHoldsUpNoRank) {
  auto ranks = make(1, kPatient);
  nccl_.set({.destroying_never_returns = true});
  EXPECT_TRUE(ends_soon(ranks));
  EXPECT_EQ(nccl_.stats().n_live, 1);
  let_it_return();
}

}  // namespace
}  // namespace lockstep
