// TokenizerBase: what the tokenizers of every kind share. Special tokens are found first; the plain
// text between them goes to encode_plain() of the kind, and the ids of long plain texts are cached.
// Knows nothing of merges. Immutable after construction but for the cache; any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "node/text/tokenizer/bpe_merger.h"
#include "node/text/tokenizer/piece_cache.h"
#include "node/text/tokenizer/special_tokens.h"
#include "node/text/tokenizer/spm_merger.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep {

class TokenizerBase : public Tokenizer {
 public:
  std::vector<int32_t> encode(std::string_view text, bool parse_special,
                              bool add_special) const final;
  std::vector<int32_t> encode_chat(const MarkedText& text) const final;
  std::string_view token_bytes(int32_t id, bool special) const final;
  std::string decode(const std::vector<int32_t>& ids, bool special) const final;

  int32_t vocab_size() const final { return static_cast<int32_t>(data_.tokens.size()); }
  int32_t bos_id() const final { return data_.bos_id; }
  int32_t eos_id() const final { return data_.eos_id; }
  const std::vector<int32_t>& end_ids() const final { return end_ids_; }
  const std::string& chat_template() const final { return data_.chat_template; }

 protected:
  // Working memory of encode_plain(), reused from one plain text to the next.
  struct Scratch {
    std::vector<std::string_view> pieces;
    BpeMerger::Scratch bpe;
    std::string text;
    SpmMerger::Scratch spm;
  };

  // Adds the special tokens; the kind adds the bytes of the other tokens with spell().
  TokenizerBase(TokenizerData data, std::shared_ptr<PieceCache> cache);

  // Appends the ids of plain text, which depend on nothing but this text. It is not empty.
  virtual void encode_plain(std::string_view text, Scratch& scratch,
                            std::vector<int32_t>& ids) const = 0;

  void spell(int32_t id, std::string bytes) { bytes_[static_cast<size_t>(id)] = std::move(bytes); }
  const TokenizerData& data() const { return data_; }
  TokenType type(int32_t id) const { return data_.types[static_cast<size_t>(id)]; }
  const std::string& bytes(int32_t id) const { return bytes_[static_cast<size_t>(id)]; }

 private:
  void collect_end_ids();
  void add_special_tokens();
  // Whether a token begins or ends a text. Some files give such a token the type user-defined.
  bool frames_text(int32_t id) const;
  // What is left of plain text behind the token `previous` (-1 = none).
  std::string_view stripped(std::string_view text, int32_t previous) const;
  void encode_fragments(const std::vector<SpecialTokens::Fragment>& fragments,
                        std::vector<int32_t>& ids) const;

  // Constant after construction.
  const TokenizerData data_;
  const std::shared_ptr<PieceCache> cache_;  // of plain text between special tokens; or null
  const uint64_t cache_id_;
  SpecialTokens special_;
  std::vector<std::string> bytes_;  // by id
  std::vector<int32_t> end_ids_;    // ascending
  std::vector<bool> strips_right_;  // by id, or empty if no token does
};

}  // namespace lockstep
