// Tokenizer: text to token ids and back, as the model file defines it. Immutable, but for a cache
// that never shows in the ids; any thread.
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

// The tokenizer of a model file (GGUF `tokenizer.ggml.*`; source: the GGUF specification).
struct TokenizerData {
  std::string model;                      // "gpt2" = byte-level BPE, "llama" = SentencePiece's BPE
  std::string pre;                        // pre-tokenizer of byte-level BPE: "gpt-2", "qwen2", …
  std::vector<std::string> tokens;        // [vocab_size]; "gpt2": in the byte-level alphabet
  std::vector<TokenType> types;           // [vocab_size]
  std::vector<std::string> merges;        // "gpt2": "left right", best first
  std::vector<float> scores;              // "llama": [vocab_size], the higher one merges first
  bool add_space_prefix = false;          // "llama": plain text is encoded with a space in front
  bool remove_extra_whitespaces = false;  // "llama": of spaces, only single ones between words stay
  std::vector<int32_t> rstrip_ids;        // tokens that take the white space behind them away
  int32_t bos_id = -1, eos_id = -1, unk_id = -1, pad_id = -1;
  std::vector<int32_t> extra_eog_ids;  // other end-of-generation ids (<|eot_id|>, <|im_end|>, …)
  bool add_bos = false;
  std::string chat_template;  // Jinja source; empty = none
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // parse_special: special tokens that are spelled in the text become their ids; otherwise their
  // spelling is plain text. add_special: begins with the bos token if the model wants one. Invalid
  // UTF-8 is encoded byte by byte.
  virtual std::vector<int32_t> encode(std::string_view text, bool parse_special,
                                      bool add_special) const = 0;
  // A lower bound on the number of ids of encode(text, true, …), from the bytes of the longest
  // token. Cheap. 0 if nothing is known.
  virtual int64_t least_tokens(std::string_view text) const {
    (void)text;
    return 0;
  }
  // Encodes a rendered chat, without adding bos, since the template spells out all special tokens.
  // Control tokens, and user-defined tokens that begin or end a text, are found only where no byte
  // is input. Other user-defined tokens are found everywhere, as in any text.
  virtual std::vector<int32_t> encode_chat(const MarkedText& text) const = 0;
  // The bytes of one token; control tokens are empty unless `special`.
  virtual std::string_view token_bytes(int32_t id, bool special) const = 0;
  // The bytes of a token behind the token `previous` (-1 = it begins the text): token_bytes(), less
  // the space that encoding puts in front of plain text.
  virtual std::string_view bytes_after(int32_t previous, int32_t id, bool special) const {
    (void)previous;
    return token_bytes(id, special);
  }
  // The bytes of a whole text.
  virtual std::string decode(const std::vector<int32_t>& ids, bool special) const = 0;

  virtual int32_t vocab_size() const = 0;
  virtual int32_t bos_id() const = 0;  // -1 = none
  virtual int32_t eos_id() const = 0;
  // Ids that end a generation unless ignore_eos is set, in ascending order.
  virtual const std::vector<int32_t>& end_ids() const = 0;
  virtual const std::string& chat_template() const = 0;
};

class PieceCache;

// Error: kModelLoadFailed, which names the unsupported or inconsistent field. `pieces`: where the
// ids of long pieces are kept; null = nowhere.
Result<std::unique_ptr<Tokenizer>> make_tokenizer(TokenizerData data,
                                                  std::shared_ptr<PieceCache> pieces = nullptr);

}  // namespace lockstep
