// FairShare: deficit round robin over tenants (Shreedhar and Varghese, 1995), in prompt tokens. A
// tenant whose turn comes may forward `weight` × kQuantum tokens before the next one's; what it has
// over at the end of a step it keeps, unless it has nothing more to forward. A value: a plan works
// on a copy, and commit() makes the copy the truth.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lockstep {

class FairShare {
 public:
  static constexpr int32_t kQuantum = 64;  // tokens

  // weights: [n_tenants], each at least 1.
  explicit FairShare(std::vector<int32_t> weights);

  // The tenant whose turn it is among those that can use it; -1 if none can.
  int next(std::span<const uint8_t> can_use);
  // What it may still forward in this turn.
  int64_t allowance(int tenant) const { return deficits_[static_cast<size_t>(tenant)]; }
  void charge(int tenant, int32_t n_tokens);
  // It has nothing more to forward: no turn is saved up for later.
  void give_up(int tenant);

 private:
  void pass_on();

  std::vector<int32_t> weights_;
  std::vector<int64_t> deficits_;
  size_t turn_ = 0;
  bool has_been_topped_up_ = false;  // the one whose turn it is
};

}  // namespace lockstep
