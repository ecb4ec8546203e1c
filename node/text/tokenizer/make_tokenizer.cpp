// Chooses the kind of tokenizer by the name of its model, after the checks that all kinds share.
#include <string>
#include <utility>

#include "node/text/tokenizer/tokenizer.h"
#include "node/text/tokenizer/tokenizer_kinds.h"

namespace lockstep {

Error tokenizer_error(const std::string& why) {
  return Error{ErrorCode::kModelLoadFailed, "tokenizer: " + why, {}};
}

namespace {

Status check_ids(const TokenizerData& data) {
  const auto n_tokens = static_cast<int64_t>(data.tokens.size());
  std::vector<std::pair<const char*, int32_t>> ids = {{"beginning-of-text", data.bos_id},
                                                      {"end-of-text", data.eos_id},
                                                      {"unknown", data.unk_id},
                                                      {"padding", data.pad_id}};
  for (const int32_t id : data.extra_eog_ids) ids.emplace_back("end-of-generation", id);
  for (const int32_t id : data.rstrip_ids) {
    if (id < 0)
      return tokenizer_error("a token that strips white space has the id " + std::to_string(id));
    ids.emplace_back("stripping", id);
  }
  for (const auto& [name, id] : ids) {
    if (id >= -1 && id < n_tokens) continue;
    return tokenizer_error(std::string(name) + " token " + std::to_string(id) +
                           " is outside the vocabulary of " + std::to_string(n_tokens));
  }
  return Ok{};
}

Status check_vocabulary(const TokenizerData& data) {
  const size_t n_tokens = data.tokens.size();
  if (n_tokens == 0) return tokenizer_error("the vocabulary is empty");
  if (n_tokens > INT32_MAX) return tokenizer_error("the vocabulary has more than 2^31 tokens");
  if (data.types.size() != n_tokens) {
    return tokenizer_error(std::to_string(n_tokens) + " tokens but " +
                           std::to_string(data.types.size()) + " token types");
  }
  return check_ids(data);
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> make_tokenizer(TokenizerData data,
                                                  std::shared_ptr<PieceCache> pieces) {
  if (data.model != "gpt2" && data.model != "llama") {
    return tokenizer_error("model '" + data.model + "' is not supported; known: gpt2, llama");
  }
  TRY([[maybe_unused]] const Ok checked, check_vocabulary(data));
  return data.model == "llama" ? make_spm_tokenizer(std::move(data), std::move(pieces))
                               : make_bpe_tokenizer(std::move(data), std::move(pieces));
}

}  // namespace lockstep
