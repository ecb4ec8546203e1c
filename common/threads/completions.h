// Completions: results of other threads, such as a tokenised prompt, that the I/O thread must
// process. add() cannot fail, so no result is lost. The code that starts work bounds the amount of
// open work; this queue has no bound of its own.
#pragma once

#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace lockstep {

class Completions {
 public:
  // Makes the I/O thread call run() soon. Any thread.
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
  // I/O thread. Runs the present results in their order.
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
  std::vector<std::function<void()>> running_;   // I/O thread
};

}  // namespace lockstep
