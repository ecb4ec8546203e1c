// What tensor-parallel ranks may rely on, written against the interface: any implementation of
// Communicator must pass.
#include "parallel/communicator.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

namespace lockstep {
namespace {

using std::chrono::milliseconds;

// Runs nothing: collectives only wait() for it.
class IdleStream final : public Stream {
 public:
  const char* name() const override { return "idle"; }
  void wait() override {}
  void launch(const EmbedArgs&) override {}
  void launch(const RmsNormArgs&) override {}
  void launch(const QuantizeArgs&) override {}
  void launch(const LinearArgs&) override {}
  void launch(const AddRmsNormArgs&) override {}
  void launch(const RopeStoreArgs&) override {}
  void launch(const AttentionArgs&) override {}
  void launch(const SiluMulArgs&) override {}
  void launch(const GatherRowsArgs&) override {}
  void launch(const ConcatColumnsArgs&) override {}
  void launch(const ResolveTokensArgs&) override {}
  void launch(const SampleArgs&) override {}
};

// Calls body(communicator, stream) once per rank, each on its own thread.
void on_ranks(int n_ranks, milliseconds deadline,
              const std::function<void(Communicator&, Stream&)>& body) {
  auto group = make_local_group(n_ranks, deadline);
  std::vector<std::thread> threads;
  for (auto& communicator : group) {
    threads.emplace_back([&] {
      IdleStream stream;
      body(*communicator, stream);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

constexpr milliseconds kPatient{20000};

class CommunicatorOf : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, CommunicatorOf, testing::Values(1, 2, 3, 8));

TEST_P(CommunicatorOf, GathersInRankOrder) {
  const int n_ranks = GetParam();
  on_ranks(n_ranks, kPatient, [&](Communicator& comm, Stream& stream) {
    EXPECT_EQ(comm.size(), n_ranks);
    // From one value to well past what implementations treat as small.
    for (int64_t n : {1, 7, 1000, 50000}) {
      std::vector<float> mine(static_cast<size_t>(2 * n), static_cast<float>(comm.rank() + 1));
      std::vector<float> all(static_cast<size_t>(2 * n * n_ranks), -1.0f);
      ASSERT_EQ(
          comm.all_gather(view(mine.data(), {2, n}), view(all.data(), {2 * n_ranks, n}), stream),
          CommResult::kOk);
      for (size_t i = 0; i < all.size(); ++i) {
        ASSERT_EQ(all[i], static_cast<float>(i / mine.size() + 1)) << "n " << n << " at " << i;
      }
    }
  });
}

// Every rank rewrites its buffer right after a call: no peer may still be reading it.
TEST_P(CommunicatorOf, AFinishedGatherNoLongerReadsTheSender) {
  const int n_ranks = GetParam();
  on_ranks(n_ranks, kPatient, [&](Communicator& comm, Stream& stream) {
    for (int64_t n : {5, 20000}) {
      std::vector<int32_t> mine(static_cast<size_t>(n)), all(static_cast<size_t>(n * n_ranks));
      for (int round = 0; round < 50; ++round) {
        std::fill(mine.begin(), mine.end(), round * 100 + comm.rank());
        ASSERT_EQ(comm.all_gather(view(mine.data(), {n}), view(all.data(), {n * n_ranks}), stream),
                  CommResult::kOk);
        for (size_t i = 0; i < all.size(); ++i) {
          ASSERT_EQ(all[i], round * 100 + static_cast<int32_t>(i / mine.size()));
        }
      }
    }
  });
}

TEST_P(CommunicatorOf, BroadcastsFromAnyRoot) {
  const int n_ranks = GetParam();
  on_ranks(n_ranks, kPatient, [&](Communicator& comm, Stream& stream) {
    for (int64_t n : {3, 40000}) {
      for (int root = 0; root < n_ranks; ++root) {
        std::vector<int32_t> data(static_cast<size_t>(n), comm.rank());
        ASSERT_EQ(comm.broadcast(view(data.data(), {n}), root, stream), CommResult::kOk);
        EXPECT_EQ(data, std::vector<int32_t>(static_cast<size_t>(n), root));
      }
    }
  });
}

TEST_P(CommunicatorOf, BarrierHoldsUntilAllAreThere) {
  const int n_ranks = GetParam();
  std::atomic<int> n_there{0};
  on_ranks(n_ranks, kPatient, [&](Communicator& comm, Stream&) {
    for (int round = 1; round <= 100; ++round) {
      ++n_there;
      ASSERT_EQ(comm.barrier(), CommResult::kOk);
      EXPECT_GE(n_there.load(), round * n_ranks);
      ASSERT_EQ(comm.barrier(), CommResult::kOk);
    }
  });
}

TEST_P(CommunicatorOf, EqualValuesAgree) {
  on_ranks(GetParam(), kPatient, [&](Communicator& comm, Stream&) {
    for (uint64_t value = 0; value < 20; ++value) EXPECT_EQ(comm.agree(value), CommResult::kOk);
  });
}

TEST(Communicator, ADifferentValueIsAMismatchOnEveryRankAndEndsTheGroup) {
  for (int odd_one = 0; odd_one < 3; ++odd_one) {
    on_ranks(3, kPatient, [&](Communicator& comm, Stream&) {
      EXPECT_EQ(comm.agree(comm.rank() == odd_one ? 8 : 7), CommResult::kMismatch);
      EXPECT_EQ(comm.barrier(), CommResult::kAborted);
    });
  }
}

TEST(Communicator, AMissingRankIsATimeoutAndEndsTheGroup) {
  std::atomic<int> n_timeouts{0};
  const auto begin = std::chrono::steady_clock::now();
  on_ranks(3, milliseconds(50), [&](Communicator& comm, Stream&) {
    if (comm.rank() == 1) return;
    const CommResult result = comm.barrier();
    EXPECT_NE(result, CommResult::kOk);
    n_timeouts += result == CommResult::kTimeout;
    EXPECT_EQ(comm.barrier(), CommResult::kAborted) << "later calls fail at once";
  });
  EXPECT_GE(n_timeouts.load(), 1);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(50));
}

TEST(Communicator, ALateRankFindsTheGroupAborted) {
  std::atomic<bool> gave_up{false};
  on_ranks(2, milliseconds(30), [&](Communicator& comm, Stream& stream) {
    std::vector<float> mine(4), all(8);
    const auto gather = [&] {
      return comm.all_gather(view(mine.data(), {4}), view(all.data(), {8}), stream);
    };
    if (comm.rank() == 0) {
      EXPECT_EQ(gather(), CommResult::kTimeout);
      gave_up = true;
    } else {
      while (!gave_up) std::this_thread::sleep_for(milliseconds(1));
      EXPECT_EQ(gather(), CommResult::kAborted);
    }
  });
}

TEST(Communicator, AbortWakesEveryWaiter) {
  const auto begin = std::chrono::steady_clock::now();
  on_ranks(4, kPatient, [&](Communicator& comm, Stream& stream) {
    if (comm.rank() == 3) {
      std::this_thread::sleep_for(milliseconds(20));
      comm.abort();
      return;
    }
    std::vector<int32_t> data(3);
    EXPECT_EQ(comm.broadcast(view(data.data(), {3}), 3, stream), CommResult::kAborted);
    EXPECT_EQ(comm.agree(1), CommResult::kAborted);
  });
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kPatient / 2);
}

TEST(Communicator, ResultsHaveNames) {
  EXPECT_STREQ(to_string(CommResult::kOk), "ok");
  EXPECT_STREQ(to_string(CommResult::kTimeout), "timeout");
  EXPECT_STREQ(to_string(CommResult::kAborted), "aborted");
  EXPECT_STREQ(to_string(CommResult::kMismatch), "mismatch");
}

}  // namespace
}  // namespace lockstep
