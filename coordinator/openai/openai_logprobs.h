// Log-probabilities in OpenAI's two JSON shapes: chat's list of objects and completions' four
// parallel lists. Token bytes may be part of a UTF-8 character; both shapes stay valid JSON.
// Pure; any thread.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "wire/messages.h"

namespace lockstep {

// {"content": [{token, logprob, bytes, top_logprobs}], "refusal": null}
nlohmann::ordered_json chat_logprobs(const std::vector<wire::TokenLogprobs>& tokens);

// Counts the characters (Unicode code points) of one choice's text, over all its pieces. Reads the
// tokens' bytes as the text was made of them: every ill-formed part counts as its one U+FFFD.
class TextOffset {
 public:
  // Index of the character in which the token starts; then moves past the token. A token without
  // bytes starts where the next one does.
  uint64_t advance(std::string_view token_bytes);

 private:
  uint64_t n_characters_ = 0;  // before unfinished_
  std::string unfinished_;     // the beginning of a character that the next token may go on with
};

// {"text_offset", "token_logprobs", "tokens", "top_logprobs"}; top_logprobs is null when only the
// sampled token's were asked for. `skips_special`: the text has no control tokens.
nlohmann::ordered_json completion_logprobs(const std::vector<wire::TokenLogprobs>& tokens,
                                           bool skips_special, TextOffset& offset);

}  // namespace lockstep
