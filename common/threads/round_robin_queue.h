// RoundRobinQueue: values of several tenants. Each tenant's values keep their order and the tenants
// take turns, so that a tenant with a long queue delays only itself. Any number of threads; the
// user of the queue bounds its size.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace lockstep {

template <class T>
class RoundRobinQueue {
 public:
  explicit RoundRobinQueue(size_t n_tenants) : queues_(n_tenants) {}

  // False once the queue is closed.
  bool push(size_t tenant, T value) {
    {
      std::lock_guard lock(mutex_);
      if (closed_) return false;
      queues_[tenant].push_back(std::move(value));
    }
    not_empty_.notify_one();
    return true;
  }

  // Blocks until a value or close().
  std::optional<T> wait_pop() {
    std::unique_lock lock(mutex_);
    std::optional<T> value;
    not_empty_.wait(lock, [&] { return (value = pop_locked()) || closed_; });
    return value;
  }

  void close() {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    not_empty_.notify_all();
  }

 private:
  std::optional<T> pop_locked() {
    for (size_t i = 0; i < queues_.size(); ++i) {
      std::deque<T>& queue = queues_[turn_];
      turn_ = (turn_ + 1) % queues_.size();
      if (queue.empty()) continue;
      std::optional<T> value = std::move(queue.front());
      queue.pop_front();
      return value;
    }
    return std::nullopt;
  }

  std::mutex mutex_;
  std::condition_variable not_empty_;
  // guarded by mutex_
  std::vector<std::deque<T>> queues_;  // [n_tenants]
  size_t turn_ = 0;                    // the tenant whose turn it is
  bool closed_ = false;
};

}  // namespace lockstep
