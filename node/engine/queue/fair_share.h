// FairShare: deficit round robin over tenants (Shreedhar and Varghese, 1995), in prompt tokens. A
// tenant whose turn comes may forward `weight` × kQuantum tokens before the next one's; what it has
// over at the end of a step it keeps, unless it has nothing more to forward.
// Below the tenant, where its first prompt in line is not its shortest, the two take turns of
// kPromptTurn tokens: so the first gets at least half, whatever comes behind it, and a short one
// does not wait for a long one.
// A value: a plan works on a copy, and commit() makes the copy the truth.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lockstep {

class FairShare {
 public:
  static constexpr int32_t kQuantum = 64;     // tokens
  static constexpr int32_t kPromptTurn = 16;  // tokens

  // weights: [n_tenants], each at least 1.
  explicit FairShare(std::vector<int32_t> weights);

  // The tenant whose turn it is among those that can use it; -1 if none can.
  int next(std::span<const uint8_t> can_use);
  // What it may still forward in this turn.
  int64_t allowance(int tenant) const { return deficits_[static_cast<size_t>(tenant)]; }
  void charge(int tenant, int32_t n_tokens);
  // It has nothing more to forward: no turn is saved up for later.
  void give_up(int tenant);

  // Whether it is the turn of the tenant's first prompt, rather than of its shortest.
  bool is_turn_of_first(int tenant) const { return turns_of(tenant).is_of_first; }
  int32_t turn_left(int tenant) const { return kPromptTurn - turns_of(tenant).n_used; }
  // Of that turn; n_tokens is at most what is left.
  void charge_turn(int tenant, int32_t n_tokens);

 private:
  struct PromptTurns {
    bool is_of_first = true;
    int32_t n_used = 0;  // tokens of the turn under way
  };
  const PromptTurns& turns_of(int tenant) const { return turns_[static_cast<size_t>(tenant)]; }
  void pass_on();

  std::vector<int32_t> weights_;
  std::vector<int64_t> deficits_;
  std::vector<PromptTurns> turns_;  // [n_tenants]
  size_t turn_ = 0;
  bool has_been_topped_up_ = false;  // the one whose turn it is
};

}  // namespace lockstep
