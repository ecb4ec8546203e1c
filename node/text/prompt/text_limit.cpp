#include "node/text/prompt/text_limit.h"

#include "common/log.h"

namespace lockstep {

TextLimit context_text_limit(int64_t max_model_len) {
  return {max_model_len - 1, ErrorCode::kContextLengthExceeded,
          ", max_model_len less a token of output"};
}

Status check_text_length(std::string_view text, const Tokenizer& tokenizer, const TextLimit& limit,
                         const std::string& param) {
  const int64_t least = tokenizer.least_tokens(text);
  if (least <= limit.n_tokens) return Ok{};
  return Error{limit.code,
               str("the text of ", param, " has ", text.size(), " bytes, which are at least ",
                   least, " tokens; the limit is ", limit.n_tokens, limit.why),
               param};
}

}  // namespace lockstep
