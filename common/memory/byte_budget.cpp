#include "common/memory/byte_budget.h"

namespace lockstep {

bool ByteBudget::take(size_t n_bytes) {
  size_t n_held = n_bytes_held_;
  do {
    if (n_bytes > n_bytes_max_ - n_held) return false;
  } while (!n_bytes_held_.compare_exchange_weak(n_held, n_held + n_bytes));
  return true;
}

bool ByteHold::grow(size_t n_bytes) {
  if (!budget_ || !budget_->take(n_bytes)) return false;
  n_bytes_ += n_bytes;
  return true;
}

bool ByteHold::resize(size_t n_bytes) {
  if (!budget_) return true;
  if (n_bytes > n_bytes_) return grow(n_bytes - n_bytes_);
  budget_->give_back(n_bytes_ - n_bytes);
  n_bytes_ = n_bytes;
  return true;
}

}  // namespace lockstep
