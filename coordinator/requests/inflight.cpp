#include "coordinator/requests/inflight.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "common/fault_points.h"

namespace lockstep {

size_t Inflight::n_outputs() const {
  return std::accumulate(
      choices.begin(), choices.end(), size_t{0},
      [](size_t n, const ChoiceProgress& choice) { return n + choice.ids.size(); });
}

size_t Inflight::longest_choice() const {
  size_t longest = 0;
  for (const ChoiceProgress& choice : choices) longest = std::max(longest, choice.ids.size());
  return longest;
}

bool Inflight::has_finished() const {
  return is_generate() && std::all_of(choices.begin(), choices.end(),
                                      [](const auto& c) { return c.finish_reason.has_value(); });
}

bool is_same_request(ClientRequest request, const Inflight& live) {
  auto* again = std::get_if<wire::Generate>(&request);
  if (again != nullptr && (live.prompt || live.encoding)) {
    const ClientPrompt prompt = take_prompt(*again);
    const bool is_same =
        live.encoding ? prompt == live.encoding->prompt : digest_of(prompt) == live.prompt->digest;
    if (!is_same) return false;
  }
  return is_same_request(std::move(request), live.request);
}

TokenOrder token_order(const Inflight& request, const wire::Tokens& tokens) {
  const bool is_zombie = tokens.epoch != request.node_epoch || tokens.attempt != request.attempt;
  if (is_zombie && !fault(Fault::kZombieLetThrough)) return TokenOrder::kStale;
  if (tokens.choice >= request.choices.size()) return TokenOrder::kBroken;
  const ChoiceProgress& choice = request.choices[tokens.choice];
  if (choice.finish_reason) return TokenOrder::kStale;
  const size_t n_received = choice.ids.size();
  if (tokens.first_index == n_received) return TokenOrder::kNext;
  const bool is_repeat = size_t{tokens.first_index} + tokens.ids.size() <= n_received;
  return is_repeat ? TokenOrder::kStale : TokenOrder::kBroken;
}

std::vector<wire::EmittedChoice> emitted_of(const Inflight& request) {
  const bool has_none = std::all_of(
      request.choices.begin(), request.choices.end(),
      [](const ChoiceProgress& choice) { return choice.ids.empty() && !choice.finish_reason; });
  std::vector<wire::EmittedChoice> emitted;
  if (has_none) return emitted;
  for (const ChoiceProgress& choice : request.choices) {
    wire::EmittedChoice& one = emitted.emplace_back();
    one.ids = choice.ids;
    if (!one.ids.empty() && fault(Fault::kEmittedIdLost)) one.ids.pop_back();
    if (!one.ids.empty() && fault(Fault::kEmittedIdTwice)) one.ids.push_back(one.ids.back());
    one.finish_reason = choice.finish_reason;
  }
  return emitted;
}

}  // namespace lockstep
