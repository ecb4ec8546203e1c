// Refuses text by its bytes before it is tokenised: no token has more bytes than the vocabulary's
// longest, so the number of bytes gives a minimum number of tokens. Stateless; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/result.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep {

// The maximum length of a text, and the reason for the error about a longer one.
struct TextLimit {
  int64_t n_tokens = INT64_MAX;
  ErrorCode code = ErrorCode::kContextLengthExceeded;
  const char* why = "";  // the reason for the limit
};

// The limit of a prompt at a node with this max_model_len: room for one token of output is left.
TextLimit context_text_limit(int64_t max_model_len);

// The Error names the bytes, the minimum number of tokens, and the limit. `param` is the field.
Status check_text_length(std::string_view text, const Tokenizer& tokenizer, const TextLimit& limit,
                         const std::string& param);

}  // namespace lockstep
