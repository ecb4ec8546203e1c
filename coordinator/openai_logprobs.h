// Log-probabilities in OpenAI's two JSON shapes: chat's list of objects and completions' four
// parallel lists. Token bytes may be part of a UTF-8 character; both shapes stay valid JSON.
// Pure; any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "wire/messages.h"

namespace lockstep {

// {"content": [{token, logprob, bytes, top_logprobs}], "refusal": null}
nlohmann::ordered_json chat_logprobs(const std::vector<wire::TokenLogprobs>& tokens);

// Counts the characters (Unicode code points) of one choice's text, over all its pieces.
class TextOffset {
 public:
  // Index of the character in which the token starts; then moves past the token.
  uint64_t advance(std::string_view token_bytes);

 private:
  uint64_t n_characters_ = 0;
};

// {"text_offset", "token_logprobs", "tokens", "top_logprobs"}; top_logprobs is null when only the
// sampled token's were asked for.
nlohmann::ordered_json completion_logprobs(const std::vector<wire::TokenLogprobs>& tokens,
                                           TextOffset& offset);

}  // namespace lockstep
