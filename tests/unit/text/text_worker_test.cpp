// TextWorker with a loop that runs only when the test says so.
#include "node/text/prompt/text_worker.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <mutex>
#include <vector>

namespace lockstep {
namespace {

using namespace std::chrono_literals;

constexpr size_t kLong = 100000;  // bytes: not run on the caller's thread

// What a worker posted, as the loop's task queue would hold it.
class Posted {
 public:
  TextWorker::Post post() {
    return [this](TextWorker::Finish finish) {
      std::lock_guard lock(mutex_);
      finishes_.push_back(std::move(finish));
    };
  }
  // Waits until n are there and takes them.
  std::vector<TextWorker::Finish> take(size_t n) {
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (size() < n && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(1ms);
    }
    std::lock_guard lock(mutex_);
    EXPECT_EQ(finishes_.size(), n);
    return std::exchange(finishes_, {});
  }

 private:
  size_t size() {
    std::lock_guard lock(mutex_);
    return finishes_.size();
  }
  std::mutex mutex_;
  std::vector<TextWorker::Finish> finishes_;  // guarded by mutex_
};

TEST(TextWorker, ShortTextsAreDoneAtOnce) {
  Posted posted;
  TextWorker worker(0, posted.post());
  bool done = false;
  EXPECT_TRUE(worker.run(10, 0, [&] { return [&] { done = true; }; }));
  EXPECT_TRUE(done);
  EXPECT_FALSE(worker.run(kLong, 0, [] { return [] {}; }));
}

// What is computed but not yet taken by the loop counts as well, so the loop's queue has a bound.
TEST(TextWorker, HoldsNoMoreThanItsJobsUntilTheLoopHasTakenTheirOutcomes) {
  Posted posted;
  int n_finished = 0;
  TextWorker worker(2, posted.post());
  const TextWorker::Job job = [&] { return [&] { ++n_finished; }; };
  for (int round = 1; round <= 3; ++round) {
    EXPECT_TRUE(worker.run(kLong, 0, job));
    EXPECT_TRUE(worker.run(kLong, 0, job));
    const auto finishes = posted.take(2);
    EXPECT_FALSE(worker.run(kLong, 0, job)) << "both outcomes still wait";
    for (const TextWorker::Finish& finish : finishes) finish();
    EXPECT_EQ(n_finished, 2 * round);
  }
}

// The turns of the other tenants come before its second one.
TEST(TextWorker, ATenantThatFillsItsPlacesLeavesTheOthersTheirs) {
  Posted posted;
  std::promise<void> release;
  std::vector<int> order;  // of the worker's thread
  TextWorker worker(6, posted.post(), 3);
  const auto job = [&](int tenant) {
    return [&order, tenant] {
      order.push_back(tenant);
      return [] {};
    };
  };
  EXPECT_TRUE(worker.run(kLong, 0, [&] {
    release.get_future().wait();
    return [] {};
  }));
  EXPECT_TRUE(worker.run(kLong, 0, job(0)));
  EXPECT_FALSE(worker.run(kLong, 0, job(0))) << "two of six places are a third";
  EXPECT_NE(worker.full(0).message.find("2 long texts of this tenant"), std::string::npos);
  for (const int tenant : {2, 2, 1}) EXPECT_TRUE(worker.run(kLong, tenant, job(tenant)));
  release.set_value();
  const auto finishes = posted.take(5);
  EXPECT_EQ(order, (std::vector<int>{1, 2, 0, 2})) << "in turn, each in its own order";
  EXPECT_FALSE(worker.run(kLong, 0, job(0))) << "its outcomes wait to be taken";
  for (const TextWorker::Finish& finish : finishes) finish();
  EXPECT_TRUE(worker.run(kLong, 0, job(0)));
}

TEST(TextWorker, StopEndsTheRunningJobAndRunsNoOther) {
  Posted posted;
  std::promise<void> release;
  std::promise<void> running;
  std::atomic<int> n_run{0};
  TextWorker worker(8, posted.post());
  EXPECT_TRUE(worker.run(kLong, 0, [&] {
    ++n_run;
    running.set_value();
    release.get_future().wait();
    return [] {};
  }));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(worker.run(kLong, 0, [&] {
      ++n_run;
      return [] {};
    }));
  }
  running.get_future().wait();
  std::thread stopper([&] { worker.stop(); });
  std::this_thread::sleep_for(20ms);
  release.set_value();
  stopper.join();
  EXPECT_EQ(n_run, 1);
  EXPECT_FALSE(worker.run(kLong, 0, [] { return [] {}; }));
}

}  // namespace
}  // namespace lockstep
