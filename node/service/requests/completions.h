// Completions: what other threads have finished and the loop's thread has to take up, such as a
// prompt that has been tokenised. add() cannot fail, so nobody waits for an outcome that was lost:
// whoever starts work bounds how much of it is open, not the queue of its outcomes.
#pragma once

#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace lockstep {

class Completions {
 public:
  // Any thread: makes the loop call run() soon.
  using Wake = std::function<void()>;
  explicit Completions(Wake wake) : wake_(std::move(wake)) {}

  // Any thread.
  void add(std::function<void()> finish) {
    {
      std::lock_guard lock(mutex_);
      finishes_.push_back(std::move(finish));
    }
    wake_();
  }
  // Loop thread: runs those that are there now, in their order.
  void run() {
    {
      std::lock_guard lock(mutex_);
      running_.swap(finishes_);
    }
    for (const auto& finish : running_) finish();
    running_.clear();
  }

 private:
  const Wake wake_;
  std::mutex mutex_;
  std::vector<std::function<void()>> finishes_;  // guarded by mutex_
  std::vector<std::function<void()>> running_;   // loop thread
};

}  // namespace lockstep
