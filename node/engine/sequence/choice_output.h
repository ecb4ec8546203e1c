// Turns one sampled token into one choice's event: its text, and whether the token ends the choice.
// Stop conditions are those of OpenAI's API and vLLM: an EOS id or a stop token id counts as output
// but has no text; a stop string is cut off the text unless the request includes it; neither ends a
// choice before min_tokens. Engine thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "node/engine/sequence/event_buffer.h"
#include "node/engine/sequence/live_request.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep {

struct SampledToken {
  int32_t id = 0;
  float logprob = 0;
  std::span<const TokenLogprob> top;  // best first; at least n_logprobs entries
};

// Prepares a choice for its first output token.
void start_output(Choice& choice, const Tokenizer& tokenizer);

// Appends the token to the choice's sequence and its event to `events`. Returns the finish reason
// if the token is the choice's last one.
std::optional<FinishReason> add_output(Choice& choice, const SampledToken& token,
                                       const Tokenizer& tokenizer, EventBuffer& events);

}  // namespace lockstep
