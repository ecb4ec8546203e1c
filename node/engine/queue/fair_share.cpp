#include "node/engine/queue/fair_share.h"

#include <utility>

#include "common/check.h"

namespace lockstep {

FairShare::FairShare(std::vector<int32_t> weights)
    : weights_(std::move(weights)), deficits_(weights_.size(), 0), turns_(weights_.size()) {
  CHECK(!weights_.empty());
  for (int32_t weight : weights_) CHECK(weight >= 1);
}

int FairShare::next(std::span<const uint8_t> tenant_has_prompts) {
  CHECK_EQ(tenant_has_prompts.size(), weights_.size());
  // Two rounds: the only tenant that can use a turn may have used up its current one.
  for (size_t i = 0; i < 2 * weights_.size(); ++i) {
    if (tenant_has_prompts[turn_] != 0) {
      if (!std::exchange(has_been_topped_up_, true)) {
        deficits_[turn_] += int64_t{weights_[turn_]} * kQuantum;
      }
      if (deficits_[turn_] > 0) return static_cast<int>(turn_);
    }
    pass_on();
  }
  return -1;
}

void FairShare::charge(int tenant, int32_t n_tokens) {
  deficits_[static_cast<size_t>(tenant)] -= n_tokens;
}

void FairShare::give_up(int tenant) { deficits_[static_cast<size_t>(tenant)] = 0; }

void FairShare::charge_turn(int tenant, int32_t n_tokens) {
  PromptTurns& turns = turns_[static_cast<size_t>(tenant)];
  turns.n_used += n_tokens;
  if (turns.n_used < kPromptTurn) return;
  turns = {.is_of_first = !turns.is_of_first, .n_used = 0};
}

void FairShare::pass_on() {
  turn_ = (turn_ + 1) % weights_.size();
  has_been_topped_up_ = false;
}

}  // namespace lockstep
