// ByteBudget: a limit for the bytes that are held at once, and the number held now. Bytes are
// reserved through a ByteHold and returned by its destructor, so they cannot leak. Any thread may
// use a budget; one thread at a time uses a hold.
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
  // Returns false, and takes nothing, if the limit would be exceeded.
  bool take(size_t n_bytes);
  void give_back(size_t n_bytes) { n_bytes_held_ -= n_bytes; }

  const size_t n_bytes_max_;
  std::atomic<size_t> n_bytes_held_{0};
};

// ByteHold: a share of a budget. Moving the hold moves the share.
class ByteHold {
 public:
  ByteHold() = default;  // belongs to no budget: grow() fails
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

  // Returns false, and leaves the hold unchanged, if the budget has fewer than `n_bytes` left.
  bool grow(size_t n_bytes);
  // Grows or shrinks to `n_bytes`; a hold without a budget has any size. Returns false, and leaves
  // the hold unchanged, if the budget has no room.
  bool resize(size_t n_bytes);
  size_t n_bytes() const { return n_bytes_; }

 private:
  std::shared_ptr<ByteBudget> budget_;
  size_t n_bytes_ = 0;
};

}  // namespace lockstep
