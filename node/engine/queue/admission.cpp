#include "node/engine/queue/admission.h"

#include <algorithm>
#include <string>

#include "node/engine/queue/emitted_check.h"
#include "node/kv/pool/block_table.h"

namespace lockstep {
namespace {

Error invalid(std::string param, std::string message) {
  return Error{ErrorCode::kInvalidRequest, std::move(message), std::move(param)};
}

static_assert(kLogprobsRange.high == kMaxTopLogprobs, "what a sampled row has room for");

Status check_sampling(const SamplingParams& s) {
  TRY([[maybe_unused]] Ok temperature,
      check_range("temperature", double{s.temperature}, kTemperatureRange));
  TRY([[maybe_unused]] Ok top_p, check_range("top_p", double{s.top_p}, kTopPRange));
  TRY([[maybe_unused]] Ok min_p, check_range("min_p", double{s.min_p}, kMinPRange));
  TRY([[maybe_unused]] Ok repetition,
      check_range("repetition_penalty", double{s.repetition_penalty}, kRepetitionPenaltyRange));
  TRY([[maybe_unused]] Ok presence,
      check_range("presence_penalty", double{s.presence_penalty}, kPresencePenaltyRange));
  TRY([[maybe_unused]] Ok frequency,
      check_range("frequency_penalty", double{s.frequency_penalty}, kFrequencyPenaltyRange));
  TRY([[maybe_unused]] Ok top_k, check_range("top_k", int64_t{s.top_k}, kTopKRange));
  TRY([[maybe_unused]] Ok n, check_range("n", int64_t{s.n}, kChoicesRange));
  TRY([[maybe_unused]] Ok first_choice,
      check_range("first_choice", int64_t{s.first_choice}, kFirstChoiceRange));
  return check_range("logprobs", int64_t{s.n_logprobs}, kLogprobsRange);
}

Status check_stops(const SamplingParams& s) {
  if (s.stop.strings.size() > kMaxStopStrings) {
    return invalid("stop", std::to_string(s.stop.strings.size()) + " stop strings given, at most " +
                               std::to_string(kMaxStopStrings) + " are served");
  }
  for (const std::string& text : s.stop.strings) {
    if (text.empty()) return invalid("stop", "a stop string must not be empty");
    if (text.size() > kMaxStopBytes) {
      return invalid("stop", "a stop string has " + std::to_string(text.size()) +
                                 " bytes, it may have at most " + std::to_string(kMaxStopBytes));
    }
  }
  if (s.stop_token_ids.size() > kMaxStopTokenIds) {
    return invalid("stop_token_ids", std::to_string(s.stop_token_ids.size()) +
                                         " stop token ids given, at most " +
                                         std::to_string(kMaxStopTokenIds) + " are served");
  }
  return Ok{};
}

}  // namespace

int32_t max_banned_ids(int32_t max_seqs, const Tokenizer& tokenizer) {
  return max_seqs * static_cast<int32_t>(tokenizer.end_ids().size() + kMaxStopTokenIds);
}

Admission::Admission(const StepLimits& limits, int32_t n_kv_blocks, const Tokenizer& tokenizer,
                     std::span<const TenantConfig> tenants, bool context_shift)
    : limits_(limits),
      blocks_(n_kv_blocks, tenants),
      tokenizer_(tokenizer),
      context_shift_(context_shift) {}

Status Admission::check(GenerationRequest& request) const {
  TRY([[maybe_unused]] Ok sampling, check_sampling(request.sampling));
  TRY([[maybe_unused]] Ok stops, check_stops(request.sampling));
  TRY([[maybe_unused]] Ok ids, check_ids(request));
  // A small vocabulary may have fewer tokens than log-probabilities were requested.
  request.sampling.n_logprobs = std::min(request.sampling.n_logprobs, tokenizer_.vocab_size());
  TRY([[maybe_unused]] Ok length, check_length(request));
  return check_emitted(request, tokenizer_);
}

Status Admission::check_ids(const GenerationRequest& request) const {
  const int32_t vocab_size = tokenizer_.vocab_size();
  const auto outside = [&](int32_t id) { return id < 0 || id >= vocab_size; };
  const auto names_outside = [&](const std::vector<int32_t>& ids, std::string param) -> Status {
    const auto bad = std::find_if(ids.begin(), ids.end(), outside);
    if (bad == ids.end()) return Ok{};
    return invalid(std::move(param), "token id " + std::to_string(*bad) + " at index " +
                                         std::to_string(bad - ids.begin()) +
                                         " is outside the vocabulary of " +
                                         std::to_string(vocab_size));
  };
  if (request.prompt.empty()) return invalid("prompt", "the prompt has no tokens");
  TRY([[maybe_unused]] Ok prompt, names_outside(request.prompt, "prompt"));
  TRY([[maybe_unused]] Ok stops, names_outside(request.sampling.stop_token_ids, "stop_token_ids"));
  return check_banned(request.sampling);
}

// A step has room for max_banned / max_seqs banned ids per row.
Status Admission::check_banned(const SamplingParams& sampling) const {
  if (sampling.min_tokens <= 0) return Ok{};
  const size_t n_banned =
      sampling.stop_token_ids.size() + (sampling.ignore_eos ? 0 : tokenizer_.end_ids().size());
  const int32_t max_per_row = limits_.max_banned / limits_.max_seqs;
  if (n_banned <= static_cast<size_t>(max_per_row)) return Ok{};
  return invalid("min_tokens", "min_tokens would ban " + std::to_string(n_banned) +
                                   " ids that end the output, at most " +
                                   std::to_string(max_per_row) + " can be");
}

// How many output tokens must fit beside the prompt: all of them, or, with context shift, those
// before the first cut.
int32_t Admission::n_outputs_to_fit(const GenerationRequest& request) const {
  const int32_t n_asked = std::max(request.sampling.max_tokens, 1);
  if (!context_shift_) return n_asked;
  const int64_t n_room = limits_.max_model_len - static_cast<int64_t>(request.prompt.size());
  return static_cast<int32_t>(std::clamp<int64_t>(n_room, 1, n_asked));
}

Status Admission::check_length(GenerationRequest& request) const {
  int32_t& max_tokens = request.sampling.max_tokens;
  if (max_tokens < 1 && max_tokens != -1) {
    return invalid("max_tokens",
                   "max_tokens is " + std::to_string(max_tokens) + ", it must be at least 1");
  }
  const int64_t n_prompt = static_cast<int64_t>(request.prompt.size());
  const int32_t n_outputs = n_outputs_to_fit(request);
  const int64_t n_wanted = n_prompt + n_outputs;
  const int32_t n_usable = blocks_.n_usable(request.tenant);
  const int64_t n_pool_tokens = int64_t{n_usable} * limits_.block_size;
  const std::string asked =
      "the prompt has " + std::to_string(n_prompt) + " tokens and " + std::to_string(n_outputs) +
      (max_tokens == -1          ? " token of output is the least"
       : n_outputs == max_tokens ? " tokens of output were asked for (max_tokens)"
                                 : " of output have to fit beside it before the context is cut");
  if (n_wanted > limits_.max_model_len) {
    return Error{ErrorCode::kContextLengthExceeded,
                 asked + ", " + std::to_string(n_wanted) + " together; the limit is " +
                     std::to_string(limits_.max_model_len),
                 "prompt"};
  }
  if (n_wanted > n_pool_tokens) {
    return Error{ErrorCode::kRequestExceedsKvPool,
                 asked + ": that needs " +
                     std::to_string(n_blocks_for(n_wanted, limits_.block_size)) + " KV blocks of " +
                     std::to_string(limits_.block_size) + " tokens; the pool has " +
                     std::to_string(blocks_.n_total()) +
                     (n_usable < blocks_.n_total()
                          ? ", of which its tenant may have " + std::to_string(n_usable)
                          : ""),
                 "prompt"};
  }
  if (max_tokens == -1) {
    max_tokens =
        static_cast<int32_t>(std::min<int64_t>(limits_.max_model_len, n_pool_tokens) - n_prompt);
  }
  if (request.sampling.min_tokens < 0 || request.sampling.min_tokens > max_tokens) {
    return invalid("min_tokens", "min_tokens is " + std::to_string(request.sampling.min_tokens) +
                                     ", it must be between 0 and max_tokens, " +
                                     std::to_string(max_tokens));
  }
  return Ok{};
}

}  // namespace lockstep
