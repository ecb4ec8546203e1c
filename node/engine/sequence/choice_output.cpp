#include "node/engine/sequence/choice_output.h"

#include <algorithm>

namespace lockstep {
namespace {

bool contains(const std::vector<int32_t>& ids, int32_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// Whether `id`, output number n_outputs (from 1) of the choice, ends the choice.
bool ends_choice(int32_t id, int32_t n_outputs, const SamplingParams& params,
                 const Tokenizer& tokenizer) {
  if (n_outputs <= params.min_tokens) return false;
  if (!params.ignore_eos && contains(tokenizer.end_ids(), id)) return true;
  return contains(params.stop_token_ids, id);
}

// Stop strings are searched for after min_tokens outputs, from the next character boundary on.
void watch_for_stops(Choice& choice, const SamplingParams& params) {
  if (choice.sequence.n_outputs() < params.min_tokens || !choice.decoder.holds_nothing()) return;
  choice.decoder.watch_for_stops();
}

void add_token(const SampledToken& token, const SamplingParams& params, EventBuffer& events) {
  events.add_id(token.id);
  if (params.n_logprobs < 0) return;
  events.add_logprob(token.logprob);
  events.add_top(token.top.first(static_cast<size_t>(params.n_logprobs)));
}

}  // namespace

void start_output(Choice& choice, const Tokenizer& tokenizer) {
  const SamplingParams& params = choice.sequence.owner().request.sampling;
  choice.decoder.start(tokenizer, params.stop, /*watches_for_stops=*/params.min_tokens == 0);
}

std::optional<FinishReason> add_output(Choice& choice, const SampledToken& token,
                                       const Tokenizer& tokenizer, EventBuffer& events) {
  Sequence& sequence = choice.sequence;
  const GenerationRequest& request = sequence.owner().request;
  const SamplingParams& params = request.sampling;
  events.begin_choice(request.id, sequence.choice(), static_cast<uint32_t>(sequence.n_outputs()));
  add_token(token, params, events);
  sequence.append_output(token.id);

  const int32_t n_outputs = sequence.n_outputs();
  if (ends_choice(token.id, n_outputs, params, tokenizer)) {
    choice.decoder.finish(events.text());
    events.end_choice(FinishReason::kStop, {}, token.id);
    return FinishReason::kStop;
  }
  const int stop = choice.decoder.push(token.id, events.text());
  if (stop >= 0) {
    events.end_choice(FinishReason::kStop, params.stop.strings[static_cast<size_t>(stop)]);
    return FinishReason::kStop;
  }
  if (n_outputs == params.max_tokens) {
    choice.decoder.finish(events.text());
    events.end_choice(FinishReason::kLength);
    return FinishReason::kLength;
  }
  if (!choice.decoder.watches_for_stops()) watch_for_stops(choice, params);
  return std::nullopt;
}

}  // namespace lockstep
