// Arena: hands out 64-byte aligned pieces of one allocation, in order. An arena without a base only
// counts, so laying out once with it gives the size to allocate. rewind() lets phases that are
// never live at the same time share memory; bytes() is the most that was ever in use. One thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "common/units.h"

namespace lockstep {

class Arena {
 public:
  explicit Arena(std::byte* base = nullptr) : base_(base) {}

  std::byte* take(int64_t bytes) {
    std::byte* piece = base_ == nullptr ? nullptr : base_ + used_;
    used_ += round_up(bytes, 64);
    bytes_ = std::max(bytes_, used_);
    return piece;
  }
  template <class T>
  T* take_array(int64_t n) {
    return reinterpret_cast<T*>(take(n * static_cast<int64_t>(sizeof(T))));
  }
  int64_t mark() const { return used_; }
  void rewind(int64_t mark) { used_ = mark; }
  int64_t bytes() const { return bytes_; }

 private:
  std::byte* base_;
  int64_t used_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace lockstep
