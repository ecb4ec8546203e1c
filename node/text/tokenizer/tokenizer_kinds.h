// The kinds of tokenizers, for make_tokenizer(). Each takes data of its kind whose types and
// special ids were checked; the Error is kModelLoadFailed and names what is wrong.
#pragma once

#include <memory>
#include <string>

#include "common/result.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep {

// The error that `why` is wrong with a model's tokenizer.
Error tokenizer_error(const std::string& why);

// Byte-level BPE ("gpt2"): the family's pre-tokenizer, then merges by rank.
Result<std::unique_ptr<Tokenizer>> make_bpe_tokenizer(TokenizerData data,
                                                      std::shared_ptr<PieceCache> pieces);

// SentencePiece's BPE ("llama"): merges by score over whole texts, bytes for what is not merged.
Result<std::unique_ptr<Tokenizer>> make_spm_tokenizer(TokenizerData data,
                                                      std::shared_ptr<PieceCache> pieces);

}  // namespace lockstep
