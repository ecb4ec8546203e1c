// Tokenizer: text to token ids and back, as the model's file defines it. Immutable after loading;
// any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "node/text/marked_text.h"

namespace lockstep {

enum class TokenType : uint8_t { kNormal, kUnknown, kControl, kUserDefined, kUnused, kByte };

// What a model file says about its tokenizer (GGUF `tokenizer.ggml.*`; source: the GGUF spec).
struct TokenizerData {
  std::string model;                // "gpt2" = byte-level BPE
  std::string pre;                  // pre-tokenizer: "gpt-2", "smollm", "qwen2", "llama-bpe", …
  std::vector<std::string> tokens;  // [vocab_size], byte-level alphabet
  std::vector<TokenType> types;     // [vocab_size]
  std::vector<std::string> merges;  // "left right", best first
  int32_t bos_id = -1, eos_id = -1, unk_id = -1, pad_id = -1;
  std::vector<int32_t> extra_eog_ids;  // other ids that end a turn (<|eot_id|>, <|im_end|>, …)
  bool add_bos = false;
  std::string chat_template;  // Jinja source; empty = none
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // parse_special: spell out special tokens found in the text (chat templates do); otherwise they
  // are plain text. add_special: put bos in front if the model wants one. Invalid UTF-8 is taken
  // byte by byte.
  virtual std::vector<int32_t> encode(std::string_view text, bool parse_special,
                                      bool add_special) const = 0;
  // No fewer ids come of encode(text, true, …), as no token has more bytes than the longest; cheap.
  // 0 where nothing is known.
  virtual int64_t least_tokens(std::string_view text) const {
    (void)text;
    return 0;
  }
  // A rendered chat, without bos: its template spells all special tokens out. Control tokens, and
  // user-defined ones that begin or end a text, are found only where no byte is input; other
  // user-defined tokens are found everywhere, as in any text.
  virtual std::vector<int32_t> encode_chat(const MarkedText& text) const = 0;
  // The bytes of one token; control tokens are empty unless `special`.
  virtual std::string_view token_bytes(int32_t id, bool special) const = 0;
  virtual std::string decode(const std::vector<int32_t>& ids, bool special) const = 0;

  virtual int32_t vocab_size() const = 0;
  virtual int32_t bos_id() const = 0;  // -1 = none
  virtual int32_t eos_id() const = 0;
  // Ids that end a generation unless ignore_eos.
  virtual const std::vector<int32_t>& end_ids() const = 0;
  virtual const std::string& chat_template() const = 0;
};

// Fails with kModelLoadFailed naming what is not supported or inconsistent.
Result<std::unique_ptr<Tokenizer>> make_tokenizer(TokenizerData data);

}  // namespace lockstep
