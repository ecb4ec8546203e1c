// FairShare: deficit round robin over tenants (Shreedhar and Varghese, 1995), in prompt tokens. In
// its turn a tenant may prefill `weight` × kQuantum tokens. A tenant keeps an unused allowance
// beyond the end of a step, unless it has nothing more to prefill.
//
// Within a tenant, the first prompt of the queue and the shortest one alternate in turns of
// kPromptTurn tokens if they differ. So the first prompt gets at least half of the tenant's rows,
// and a short prompt does not wait for a long one.
//
// A value type: a plan works on a copy, which Scheduler::commit() stores.
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

  // The tenant whose turn it is, among those with tenant_has_prompts[tenant] != 0; -1 if there is
  // none.
  int next(std::span<const uint8_t> tenant_has_prompts);
  // Tokens that the tenant may still prefill in this turn.
  int64_t allowance(int tenant) const { return deficits_[static_cast<size_t>(tenant)]; }
  void charge(int tenant, int32_t n_tokens);
  // The tenant has nothing more to prefill and loses its allowance.
  void give_up(int tenant);

  // Whether the turn belongs to the tenant's first prompt; otherwise to its shortest one.
  bool is_turn_of_first(int tenant) const { return turns_of(tenant).is_of_first; }
  int32_t turn_left(int tenant) const { return kPromptTurn - turns_of(tenant).n_used; }
  // Charges that turn; n_tokens <= turn_left(tenant).
  void charge_turn(int tenant, int32_t n_tokens);

 private:
  struct PromptTurns {
    bool is_of_first = true;
    int32_t n_used = 0;  // tokens of the current turn
  };
  const PromptTurns& turns_of(int tenant) const { return turns_[static_cast<size_t>(tenant)]; }
  void pass_on();

  std::vector<int32_t> weights_;
  std::vector<int64_t> deficits_;
  std::vector<PromptTurns> turns_;  // [n_tenants]
  size_t turn_ = 0;
  bool has_been_topped_up_ = false;  // whether tenant turn_ has received its quantum for this turn
};

}  // namespace lockstep
