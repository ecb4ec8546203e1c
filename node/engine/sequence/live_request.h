// LiveRequest: an accepted request until its final message, with one sequence per choice. Built by
// the submitting thread, then owned and used by the engine thread only.
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
  StreamDecoder decoder = {};  // watches for stop strings from min_tokens on
};

struct LiveRequest {
  // `max_tokens` of the request must be a number by now (Admission::check). max_context: the most
  // tokens that a choice's context may have.
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
  }
  LiveRequest(const LiveRequest&) = delete;
  LiveRequest& operator=(const LiveRequest&) = delete;

  const GenerationRequest request;
  bool takes_part_in_cache = false;   // reads the prefix cache and leaves blocks in it
  PrefixHashes prefix;                // of the prompt, if it does
  std::vector<Choice> choices;        // [n]
  Clock::TimePoint retained_until{};  // if its blocks are to be retained
  int32_t n_choices_open = 0;         // have not ended yet
  int32_t n_choices_held = 0;         // have not given everything back yet
  Usage usage;
  std::optional<CacheReceipt> cache;                // of choice 0, once it is admitted
  FinishReason first_reason = FinishReason::kStop;  // of choice 0, once it has ended
  std::string message;                              // why it failed
};

// As an index.
inline size_t tenant_of(const Sequence& sequence) {
  return static_cast<size_t>(sequence.owner().request.tenant);
}

}  // namespace lockstep
