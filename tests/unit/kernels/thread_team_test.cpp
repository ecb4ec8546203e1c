#include "kernels/cpu/team/thread_team.h"

#include <gtest/gtest.h>
#include <immintrin.h>

#include <chrono>
#include <limits>
#include <set>
#include <thread>

#include "common/machine.h"
#include "kernels/cpu/team/float_mode.h"

namespace lockstep::testing {
namespace {

// A team with a page of scratch, which assumes a processor for each of its threads.
struct Team : ThreadTeam {
  explicit Team(int n_threads)
      : ThreadTeam({.n_threads = n_threads, .scratch = {100, 1000}}, ledger()) {}
  static MemoryLedger& ledger() {
    static MemoryLedger ledger;
    return ledger;
  }
};

TEST(ThreadTeam, RunsEveryChunkOnce) {
  for (int n_threads : {1, 2, 3, 8}) {
    Team team(n_threads);
    for (int n_chunks : {0, 1, 2, 3, 7, 64, 1000}) {
      std::vector<int> runs(static_cast<size_t>(n_chunks), 0);
      team.run(n_chunks, [&](int chunk, int thread) {
        ++runs[chunk];
        EXPECT_TRUE(thread >= 0 && thread < n_threads);
      });
      EXPECT_EQ(std::count(runs.begin(), runs.end(), 1), n_chunks);
    }
  }
}

TEST(ThreadTeam, WhatARunWroteIsVisibleToTheCallerAndTheNextRun) {
  Team team(3);
  std::vector<int64_t> values(60, 0);
  for (int round = 1; round <= 2000; ++round) {
    team.run(60, [&](int chunk, int /*thread*/) { values[(chunk + round) % 60] += 1; });
    ASSERT_EQ(values[round % 60], round);
  }
}

TEST(ThreadTeam, RangesCoverAllItemsInOrderWithoutOverlap) {
  for (int n_threads : {1, 2, 3}) {
    Team team(n_threads);
    for (int64_t n_items : {0, 1, 5, 16, 17, 1000}) {
      for (int64_t min_items : {1, 4, 2000}) {
        std::vector<std::atomic<int>> seen(static_cast<size_t>(n_items));
        std::atomic<int> n_runs{0};
        team.run_ranges(n_items, min_items, [&](int64_t begin, int64_t end, int /*thread*/) {
          ++n_runs;
          for (int64_t i = begin; i < end; ++i) ++seen[i];
        });
        for (const auto& count : seen) EXPECT_EQ(count, 1);
        EXPECT_LE(n_runs, std::max<int64_t>(1, n_items / min_items));
      }
    }
  }
}

// A thread that is descheduled inside a chunk keeps only that chunk; other threads run the rest.
TEST(ThreadTeam, ASlowThreadKeepsOnlyItsOwnChunk) {
  Team team(2);
  for (int round = 0; round < 5; ++round) {
    std::atomic<bool> slow_taken{false};
    std::atomic<int> others_done{0};
    team.run(50, [&](int /*chunk*/, int /*thread*/) {
      if (!slow_taken.exchange(true)) {
        const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds{20};
        while (others_done < 49 && std::chrono::steady_clock::now() < give_up) {
          std::this_thread::yield();
        }
        EXPECT_EQ(others_done, 49);
      } else {
        ++others_done;
      }
    });
  }
}

TEST(ThreadTeam, WorkersThatSleptTakePartAgain) {
  Team team(2);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
    std::atomic<int> n_waiting{0};
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds{20};
    team.run(2, [&](int /*chunk*/, int /*thread*/) {
      ++n_waiting;
      while (n_waiting < 2 && std::chrono::steady_clock::now() < give_up) {
        std::this_thread::yield();
      }
    });
    EXPECT_EQ(n_waiting, 2) << "both threads are needed for both chunks to be held at once";
  }
}

TEST(ThreadTeam, EveryThreadComputesWithDenormalsWhateverTheCallerHas) {
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x8040u);  // FTZ and DAZ, as the start-up code of -ffast-math sets them
  {
    const FloatMode float_mode;
    Team team(3);
    std::atomic<int> n_kept{0};
    team.run(300, [&](int /*chunk*/, int /*thread*/) {
      volatile float tiny = std::numeric_limits<float>::min();
      if (tiny / 4.0f > 0.0f) ++n_kept;
    });
    EXPECT_EQ(n_kept, 300);
  }
  EXPECT_EQ(_mm_getcsr() & 0x8040u, 0x8040u) << "the caller's own mode comes back";
  _mm_setcsr(before);
}

TEST(ThreadTeam, ScratchIsAlignedOwnAndKept) {
  Team team(3);
  std::vector<std::byte*> mine(3, nullptr);
  for (int round = 0; round < 20; ++round) {
    team.run(30, [&](int chunk, int thread) {
      std::byte* scratch = team.scratch(thread, 1000);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(scratch) % 64, 0u);
      if (mine[thread] != nullptr) {
        EXPECT_EQ(mine[thread], scratch);
      }
      mine[thread] = scratch;
      std::fill_n(scratch, 1000, std::byte(chunk));
      for (int i = 0; i < 1000; ++i) ASSERT_EQ(scratch[i], std::byte(chunk));
    });
  }
}

TEST(ThreadTeam, SharedScratchIsApartFromThatOfEachThread) {
  Team team(2);
  std::byte* shared = team.shared_scratch(100);
  std::fill_n(shared, 100, std::byte{1});
  for (int thread = 0; thread < 2; ++thread) {
    std::fill_n(team.scratch(thread, 1000), 1000, std::byte{2});
  }
  EXPECT_EQ(std::count(shared, shared + 100, std::byte{1}), 100);
}

TEST(ThreadTeam, ItsScratchIsInTheLedgerWhileItLives) {
  MemoryLedger ledger;
  {
    const ThreadTeam team({.n_threads = 3, .scratch = {100, 1000}}, ledger);
    EXPECT_GE(ledger.bytes(MemoryTag::kActivations), 100 + 3 * 1000);
  }
  EXPECT_EQ(ledger.bytes(MemoryTag::kActivations), 0);
}

TEST(ThreadTeamDeathTest, MoreScratchThanWasReservedIsRefused) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Team team(2);
  EXPECT_DEATH(team.scratch(1, 5000), "thread_team.cpp");
  EXPECT_DEATH(team.shared_scratch(5000), "thread_team.cpp");
}

// Alone the team has a processor for each thread, but not together with the process's other teams.
TEST(ThreadTeam, SpinsOnlyWhileTheProcessHasAProcessorForEveryThread) {
  const auto n_processors = available_cpus();
  const auto spins = [](int n_threads, int n_threads_in_process) {
    const ThreadTeamOptions options{
        .n_threads = n_threads, .n_threads_in_process = n_threads_in_process, .scratch = {}};
    return ThreadTeam(options, Team::ledger()).spins();
  };
  EXPECT_TRUE(spins(1, n_processors));
  EXPECT_FALSE(spins(1, n_processors + 1));
  EXPECT_FALSE(spins(n_processors + 1, 1));
}

TEST(ThreadTeam, ManyTeamsComeAndGo) {
  for (int i = 0; i < 200; ++i) {
    Team team(1 + i % 4);
    std::atomic<int> n{0};
    team.run(i % 5, [&](int, int) { ++n; });
    EXPECT_EQ(n, i % 5);
  }
}

TEST(ThreadTeam, EveryChunkIsProgressOfTheThreadThatRanIt) {
  for (int n_threads : {1, 3}) {
    std::vector<ProgressCounter> progress(static_cast<size_t>(n_threads));
    ThreadTeam team({.n_threads = n_threads, .scratch = {}, .progress = progress}, Team::ledger());
    std::vector<std::atomic<uint64_t>> n_run(static_cast<size_t>(n_threads));
    for (int round = 0; round < 3; ++round) {
      team.run(50, [&](int /*chunk*/, int thread) { ++n_run[static_cast<size_t>(thread)]; });
    }
    uint64_t n_all = 0;
    for (size_t thread = 0; thread < progress.size(); ++thread) {
      EXPECT_EQ(progress[thread].count(), n_run[thread]);
      n_all += progress[thread].count();
    }
    EXPECT_EQ(n_all, 150u);
  }
}

TEST(ThreadTeam, LongRangesAreMadeOfBandsThatAreProgressEach) {
  std::vector<ProgressCounter> progress(1);
  ThreadTeam team({.n_threads = 1, .scratch = {}, .progress = progress}, Team::ledger());
  int64_t n_seen = 0;
  team.run_ranges(100'000, 1, [&](int64_t begin, int64_t end, int /*thread*/) {
    EXPECT_EQ(begin, n_seen);
    n_seen = end;
  });
  EXPECT_EQ(n_seen, 100'000);
  EXPECT_GE(progress[0].count(), 90u);
}

}  // namespace
}  // namespace lockstep::testing
