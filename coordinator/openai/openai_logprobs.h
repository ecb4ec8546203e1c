// Log-probabilities in OpenAI's two JSON shapes: a list of objects for chat, four parallel lists
// for completions. The bytes of a token may be part of a UTF-8 character; both shapes are valid
// JSON nevertheless. Pure; any thread.
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

// TextOffset: counts the characters (Unicode code points) of one choice's text, over all its
// pieces. It decodes the tokens' bytes in the same way as the text was: every ill-formed part
// counts as one U+FFFD.
class TextOffset {
 public:
  // Returns the index of the character in which the token starts, then moves past the token. A
  // token without bytes starts where the next token does.
  uint64_t advance(std::string_view token_bytes);

 private:
  uint64_t n_characters_ = 0;  // before unfinished_
  std::string unfinished_;     // first bytes of a character that the next token may complete
};

// {"text_offset", "token_logprobs", "tokens", "top_logprobs"}; top_logprobs is null when only the
// sampled tokens' logprobs were requested. `skips_special`: the text contains no control tokens.
nlohmann::ordered_json completion_logprobs(const std::vector<wire::TokenLogprobs>& tokens,
                                           bool skips_special, TextOffset& offset);

}  // namespace lockstep
