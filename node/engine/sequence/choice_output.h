// Turns one sampled token into one choice's event: its text, and whether the token ends the choice.
// Stop conditions are those of OpenAI's API and vLLM: an EOS id or a stop token id counts as output
// but has no text; a stop string is cut off the text unless the request includes it; neither ends a
// choice before min_tokens. Engine thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "node/engine/sequence/event_buffer.h"
#include "node/engine/sequence/live_request.h"
#include "node/text/stream/stream_decoder.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep {

struct SampledToken {
  int32_t id = 0;
  float logprob = 0;
  std::span<const TokenLogprob> top;  // best first; at least n_logprobs entries
};

// How a choice's output ended.
struct OutputEnd {
  FinishReason reason = FinishReason::kStop;
  int stop_string = -1;     // index in StopSpec::strings of the one that ended it; -1 = none
  int32_t stop_token = -1;  // the EOS or stop id that ended it; -1 = none
};

// Prepares a decoder for a choice's first output token. `request` must outlive the text.
void start_text(StreamDecoder& decoder, const GenerationRequest& request,
                const Tokenizer& tokenizer);

// Decodes output token number n_outputs (from 1) of a choice: appends the text that is now certain
// to `text`. Returns how the token ends the choice, if it does.
std::optional<OutputEnd> decode_output(StreamDecoder& decoder, int32_t id, int32_t n_outputs,
                                       const SamplingParams& params, const Tokenizer& tokenizer,
                                       std::string& text);

// Prepares a choice for its first output token, or, if it is resumed, for the first of those that
// are sampled as proof: the sequence and the decoder take what was emitted before, without events.
// n_keep, block_size: as in Sequence::resume().
void start_output(Choice& choice, const Tokenizer& tokenizer, int32_t n_keep, int32_t block_size);

// Appends a token that the client already has to the choice's sequence. There is no event.
void repeat_output(Choice& choice, int32_t id, const Tokenizer& tokenizer);

// Appends the token to the choice's sequence and its event to `events`. Returns the finish reason
// if the token is the choice's last one.
std::optional<FinishReason> add_output(Choice& choice, const SampledToken& token,
                                       const Tokenizer& tokenizer, EventBuffer& events);

}  // namespace lockstep
