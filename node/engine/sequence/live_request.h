// LiveRequest: an accepted request, with one sequence per choice, until its final message is
// delivered and no step names its sequences. The submitting thread constructs it; from then on only
// the engine thread owns and uses it.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "common/error_code.h"
#include "node/engine/sequence/request.h"
#include "node/engine/sequence/sequence.h"
#include "node/text/stream/stream_decoder.h"

namespace lockstep {

struct Choice {
  Sequence sequence;
  StreamDecoder decoder = {};  // detokenizes; searches for stop strings from min_tokens on
};

struct LiveRequest {
  // The request's `max_tokens` must be set (Admission::check sets it). max_context: the most tokens
  // that a choice's context may have.
  explicit LiveRequest(GenerationRequest accepted,
                       int32_t max_context = std::numeric_limits<int32_t>::max())
      : request(std::move(accepted)) {
    const int32_t n = request.sampling.n;
    choices.reserve(static_cast<size_t>(n));
    for (int32_t i = 0; i < n; ++i) {
      choices.push_back({Sequence(*this, static_cast<uint32_t>(i), max_context)});
    }
    n_choices_open = n_choices_held = n;
    usage.prompt_tokens = request.prompt.size();
    for (size_t i = 0; i < request.emitted.size(); ++i) take_emitted(i);
    while (lead_choice + 1 < choices.size() && !choices[lead_choice].sequence.is_open()) {
      ++lead_choice;
    }
  }
  LiveRequest(const LiveRequest&) = delete;
  LiveRequest& operator=(const LiveRequest&) = delete;

  const GenerationRequest request;
  bool takes_part_in_cache = false;   // whether it reads the prefix cache and publishes blocks
  PrefixHashes prefix;                // of the prompt, if takes_part_in_cache
  std::vector<Choice> choices;        // [n]
  Clock::TimePoint retained_until{};  // only if the request asks for retention
  uint32_t lead_choice = 0;           // the first one that runs; all before it ended elsewhere
  int32_t n_choices_open = 0;         // choices that have not ended
  int32_t n_choices_held = 0;         // choices that still hold a slot, blocks or a queue entry
  Usage usage;
  std::optional<CacheReceipt> cache;                // of the lead choice, once it is admitted
  FinishReason first_reason = FinishReason::kStop;  // of choice 0, once it has ended
  std::string message;                              // why the request failed

 private:
  // A choice that has ended elsewhere does not run.
  void take_emitted(size_t choice) {
    const EmittedOutput& output = request.emitted[choice];
    usage.completion_tokens += output.ids.size();
    if (!output.finished) return;
    choices[choice].sequence.release();
    --n_choices_open;
    --n_choices_held;
    if (choice == 0) first_reason = *output.finished;
  }
};

// The output tokens of the sequence's choice that the client already has.
inline std::span<const int32_t> emitted_ids(const Sequence& sequence) {
  const std::vector<EmittedOutput>& emitted = sequence.owner().request.emitted;
  return emitted.empty() ? std::span<const int32_t>() : emitted[sequence.choice()].ids;
}

// The index of the sequence's tenant in EngineConfig::tenants.
inline size_t tenant_of(const Sequence& sequence) {
  return static_cast<size_t>(sequence.owner().request.tenant);
}

}  // namespace lockstep
