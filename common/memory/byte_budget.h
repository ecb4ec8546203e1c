// ByteBudget: how many bytes may be held at once, and how many are. Who wants some asks for a hold;
// what a hold has counts until it is destroyed, so nothing can forget to give it back. Any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace lockstep {

class ByteBudget {
 public:
  explicit ByteBudget(size_t n_bytes_max) : n_bytes_max_(n_bytes_max) {}
  ByteBudget(const ByteBudget&) = delete;
  ByteBudget& operator=(const ByteBudget&) = delete;

  size_t n_bytes_max() const { return n_bytes_max_; }
  size_t n_bytes_held() const { return n_bytes_held_; }

 private:
  friend class ByteHold;
  // False, and nothing is taken, if they would be too many.
  bool take(size_t n_bytes);
  void give_back(size_t n_bytes) { n_bytes_held_ -= n_bytes; }

  const size_t n_bytes_max_;
  std::atomic<size_t> n_bytes_held_{0};
};

// A part of a budget. Moving it hands the part over.
class ByteHold {
 public:
  ByteHold() = default;  // of nothing: grow() fails
  explicit ByteHold(std::shared_ptr<ByteBudget> budget) : budget_(std::move(budget)) {}
  ByteHold(ByteHold&& other) noexcept
      : budget_(std::move(other.budget_)), n_bytes_(std::exchange(other.n_bytes_, 0)) {}
  ByteHold& operator=(ByteHold&& other) noexcept {
    std::swap(budget_, other.budget_);
    std::swap(n_bytes_, other.n_bytes_);
    return *this;
  }
  ~ByteHold() {
    if (budget_) budget_->give_back(n_bytes_);
  }

  // False, and the hold is as before, if the budget has not so many left.
  bool grow(size_t n_bytes);
  size_t n_bytes() const { return n_bytes_; }

 private:
  std::shared_ptr<ByteBudget> budget_;
  size_t n_bytes_ = 0;
};

}  // namespace lockstep
