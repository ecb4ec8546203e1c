// BoundedQueue: passes values from any thread to one consumer thread. It never grows beyond its
// capacity: try_push() fails instead. After close(), the consumer gets the remaining values and
// then nullopt. The storage is allocated once, at construction.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace lockstep {

template <class T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : slots_(capacity) {}

  // Returns false when the queue is full or closed; `value` is then unchanged.
  bool try_push(T& value) {
    {
      std::lock_guard lock(mutex_);
      if (closed_ || n_ == slots_.size()) return false;
      slots_[(head_ + n_) % slots_.size()].emplace(std::move(value));
      ++n_;
    }
    not_empty_.notify_one();
    return true;
  }
  bool try_push(T&& value) { return try_push(value); }

  // Blocks until there is a value or the queue is closed.
  std::optional<T> wait_pop() {
    std::unique_lock lock(mutex_);
    not_empty_.wait(lock, [&] { return n_ > 0 || closed_; });
    return pop_locked();
  }
  std::optional<T> try_pop() {
    std::lock_guard lock(mutex_);
    return pop_locked();
  }

  void close() {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    not_empty_.notify_all();
  }
  size_t size() const {
    std::lock_guard lock(mutex_);
    return n_;
  }

 private:
  std::optional<T> pop_locked() {
    if (n_ == 0) return std::nullopt;
    std::optional<T> value = std::move(slots_[head_]);
    slots_[head_].reset();
    head_ = (head_ + 1) % slots_.size();
    --n_;
    return value;
  }

  mutable std::mutex mutex_;
  std::condition_variable not_empty_;
  // guarded by mutex_
  std::vector<std::optional<T>> slots_;
  size_t head_ = 0;
  size_t n_ = 0;
  bool closed_ = false;
};

}  // namespace lockstep
