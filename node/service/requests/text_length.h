// Refuses text by its bytes before anybody tokenises it: no token has more bytes than the
// vocabulary's longest, so that so many bytes are at least so many tokens. Stateless; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/result.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep {

// How long a text may be, and what is said of one that is longer.
struct TextLimit {
  int64_t n_tokens = INT64_MAX;
  ErrorCode code = ErrorCode::kContextLengthExceeded;
  const char* why = "";  // the limit is what it is
};

// The Error names the bytes, the tokens that they are at least, and the limit. `param`: the field.
Status check_text_length(std::string_view text, const Tokenizer& tokenizer, const TextLimit& limit,
                         const std::string& param);

}  // namespace lockstep
