#include "coordinator/requests/token_order.h"

namespace lockstep {

TokenOrder token_order(const Inflight& request, const wire::Tokens& tokens) {
  if (tokens.epoch != request.node_epoch || tokens.attempt != request.attempt)
    return TokenOrder::kStale;
  if (tokens.choice >= request.choices.size()) return TokenOrder::kBroken;
  const ChoiceProgress& choice = request.choices[tokens.choice];
  if (choice.finished) return TokenOrder::kStale;
  const size_t n_sent = choice.ids.size();
  if (tokens.first_index == n_sent) return TokenOrder::kNext;
  const bool is_repeat = size_t{tokens.first_index} + tokens.ids.size() <= n_sent;
  return is_repeat ? TokenOrder::kStale : TokenOrder::kBroken;
}

}  // namespace lockstep
