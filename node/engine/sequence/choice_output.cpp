#include "node/engine/sequence/choice_output.h"

#include <algorithm>

#include "common/fault_points.h"
#include "common/resume_proof.h"

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

void add_token(const SampledToken& token, const SamplingParams& params, EventBuffer& events) {
  events.add_id(token.id);
  if (params.n_logprobs < 0) return;
  events.add_logprob(token.logprob);
  events.add_top(token.top.first(static_cast<size_t>(params.n_logprobs)));
}

}  // namespace

void start_text(StreamDecoder& decoder, const GenerationRequest& request,
                const Tokenizer& tokenizer) {
  const SamplingParams& params = request.sampling;
  decoder.start(tokenizer, params.stop,
                {.watches_for_stops = params.min_tokens == 0,
                 .previous = request.prompt.empty() ? -1 : request.prompt.back()});
}

std::optional<OutputEnd> decode_output(StreamDecoder& decoder, int32_t id, int32_t n_outputs,
                                       const SamplingParams& params, const Tokenizer& tokenizer,
                                       std::string& text) {
  if (ends_choice(id, n_outputs, params, tokenizer)) {
    decoder.finish(text);
    return OutputEnd{.reason = FinishReason::kStop, .stop_token = id};
  }
  const int stop = decoder.push(id, text);
  if (stop >= 0) return OutputEnd{.reason = FinishReason::kStop, .stop_string = stop};
  if (n_outputs == params.max_tokens) {
    decoder.finish(text);
    return OutputEnd{.reason = FinishReason::kLength};
  }
  // Stop strings are searched for after min_tokens outputs, from the next character boundary on.
  if (!decoder.watches_for_stops() && n_outputs >= params.min_tokens && decoder.holds_nothing()) {
    decoder.watch_for_stops();
  }
  return std::nullopt;
}

void start_output(Choice& choice, const Tokenizer& tokenizer, int32_t n_keep, int32_t block_size) {
  const GenerationRequest& request = choice.sequence.owner().request;
  start_text(choice.decoder, request, tokenizer);
  std::span<const int32_t> outputs = emitted_ids(choice.sequence);
  outputs = outputs.first(outputs.size() - std::min(outputs.size(), kResumeProof));
  std::string text;
  for (size_t i = 0; i < outputs.size(); ++i) {
    text.clear();
    decode_output(choice.decoder, outputs[i], static_cast<int32_t>(i) + 1, request.sampling,
                  tokenizer, text);
  }
  if (fault(Fault::kStopCutAtSeam)) start_text(choice.decoder, request, tokenizer);
  choice.sequence.resume(outputs, n_keep, block_size);
}

void repeat_output(Choice& choice, int32_t id, const Tokenizer& tokenizer) {
  Sequence& sequence = choice.sequence;
  std::string text;
  sequence.append_output(id);
  decode_output(choice.decoder, id, sequence.n_outputs(), sequence.owner().request.sampling,
                tokenizer, text);
}

std::optional<FinishReason> add_output(Choice& choice, const SampledToken& token,
                                       const Tokenizer& tokenizer, EventBuffer& events) {
  Sequence& sequence = choice.sequence;
  const GenerationRequest& request = sequence.owner().request;
  const SamplingParams& params = request.sampling;
  events.begin_choice(request.id, sequence.choice(), static_cast<uint32_t>(sequence.n_outputs()));
  add_token(token, params, events);
  sequence.append_output(token.id);

  const std::optional<OutputEnd> end = decode_output(choice.decoder, token.id, sequence.n_outputs(),
                                                     params, tokenizer, events.text());
  if (!end) return std::nullopt;
  const std::string_view stop_string =
      end->stop_string < 0 ? std::string_view()
                           : params.stop.strings[static_cast<size_t>(end->stop_string)];
  events.end_choice(end->reason, stop_string, end->stop_token);
  return end->reason;
}

}  // namespace lockstep
