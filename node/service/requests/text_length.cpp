#include "node/service/requests/text_length.h"

#include "common/log.h"

namespace lockstep {

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
