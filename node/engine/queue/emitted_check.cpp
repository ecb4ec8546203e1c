#include "node/engine/queue/emitted_check.h"

#include <optional>
#include <string>

#include "node/engine/sequence/choice_output.h"

namespace lockstep {
namespace {

// "emitted[1]"
std::string place_of(size_t choice) { return "emitted[" + std::to_string(choice) + "]"; }

Error invalid(const std::string& param, const std::string& problem) {
  return Error{ErrorCode::kInvalidRequest, param + " " + problem, param};
}

Status check_ids(const std::vector<int32_t>& ids, size_t choice, const SamplingParams& params,
                 const Tokenizer& tokenizer) {
  if (ids.size() > static_cast<size_t>(params.max_tokens)) {
    return invalid(place_of(choice) + ".ids", "has " + std::to_string(ids.size()) +
                                                  " tokens; max_tokens is " +
                                                  std::to_string(params.max_tokens));
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < tokenizer.vocab_size()) continue;
    return invalid(place_of(choice) + ".ids",
                   "has token id " + std::to_string(ids[i]) + " at index " + std::to_string(i) +
                       ", outside the vocabulary of " + std::to_string(tokenizer.vocab_size()));
  }
  return Ok{};
}

Status check_end(const EmittedOutput& output, size_t choice, const GenerationRequest& request,
                 const Tokenizer& tokenizer) {
  StreamDecoder decoder;
  start_text(decoder, request, tokenizer);
  std::optional<OutputEnd> end;
  std::string text;
  for (size_t i = 0; i < output.ids.size(); ++i) {
    if (end) {
      return invalid(place_of(choice) + ".ids", "has " + std::to_string(output.ids.size()) +
                                                    " tokens, but the choice ends with \"" +
                                                    std::string(to_string(end->reason)) +
                                                    "\" at index " + std::to_string(i - 1));
    }
    text.clear();
    end = decode_output(decoder, output.ids[i], static_cast<int32_t>(i) + 1, request.sampling,
                        tokenizer, text);
  }
  const auto reason = end ? std::optional(end->reason) : std::nullopt;
  if (reason == output.finished) return Ok{};
  const auto shown = [](const std::optional<FinishReason>& value) {
    return value ? "\"" + std::string(to_string(*value)) + "\"" : std::string("not set");
  };
  return invalid(place_of(choice) + ".finish_reason",
                 "is " + shown(output.finished) + "; after the " +
                     std::to_string(output.ids.size()) + " emitted tokens it is " + shown(reason));
}

}  // namespace

Status check_emitted(const GenerationRequest& request, const Tokenizer& tokenizer) {
  const SamplingParams& params = request.sampling;
  if (request.emitted.empty()) return Ok{};
  if (request.emitted.size() != static_cast<size_t>(params.n)) {
    return invalid("emitted", "has " + std::to_string(request.emitted.size()) + " choices; n is " +
                                  std::to_string(params.n));
  }
  for (size_t i = 0; i < request.emitted.size(); ++i) {
    const EmittedOutput& output = request.emitted[i];
    TRY([[maybe_unused]] Ok ids, check_ids(output.ids, i, params, tokenizer));
    TRY([[maybe_unused]] Ok end, check_end(output, i, request, tokenizer));
  }
  return Ok{};
}

}  // namespace lockstep
