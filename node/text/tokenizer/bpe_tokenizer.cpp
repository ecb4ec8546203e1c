// The byte-level BPE tokenizer: the family's pre-tokenizer cuts plain text, then pieces are merged.
#include <algorithm>
#include <array>
#include <utility>

#include "node/text/tokenizer/byte_alphabet.h"
#include "node/text/tokenizer/pre_tokenizer.h"
#include "node/text/tokenizer/tokenizer_base.h"
#include "node/text/tokenizer/tokenizer_kinds.h"

namespace lockstep {
namespace {

TokenIndex index_of(const std::vector<std::string>& tokens) {
  TokenIndex index;
  index.reserve(tokens.size());
  for (size_t id = 0; id < tokens.size(); ++id) index[tokens[id]] = static_cast<int32_t>(id);
  return index;
}

class BpeTokenizer final : public TokenizerBase {
 public:
  BpeTokenizer(TokenizerData data, BpeMerger merger, PreTokenizer pre,
               std::shared_ptr<PieceCache> cache)
      : TokenizerBase(std::move(data), std::move(cache)),
        merger_(std::move(merger)),
        pre_(std::move(pre)) {
    spell_tokens();
    measure_tokens();
  }

  int64_t least_tokens(std::string_view text) const override;

 private:
  void spell_tokens();
  void measure_tokens();
  void encode_plain(std::string_view text, Scratch& scratch,
                    std::vector<int32_t>& ids) const override;
  void encode_piece(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const;

  // Constant after construction.
  BpeMerger merger_;
  PreTokenizer pre_;
  TokenIndex whole_pieces_;   // by bytes; empty unless the family takes whole pieces first
  size_t longest_token_ = 1;  // bytes
  std::array<bool, 256> is_spelled_{};  // by byte: a token spells this byte alone
  bool spells_all_ = true;
};

// Tokens of the types unused and byte have no bytes: a byte-level vocabulary does not use them.
void BpeTokenizer::spell_tokens() {
  for (int32_t id = 0; id < vocab_size(); ++id) {
    if (type(id) != TokenType::kNormal) continue;
    spell(id, spelled_bytes(data().tokens[static_cast<size_t>(id)]));
    if (pre_.whole_pieces_first()) whole_pieces_.emplace(bytes(id), id);
  }
}

void BpeTokenizer::measure_tokens() {
  for (int32_t id = 0; id < vocab_size(); ++id) {
    longest_token_ = std::max(longest_token_, bytes(id).size());
    if (type(id) == TokenType::kNormal && bytes(id).size() == 1) {
      is_spelled_[static_cast<uint8_t>(bytes(id)[0])] = true;
    }
  }
  spells_all_ = std::find(is_spelled_.begin(), is_spelled_.end(), false) == is_spelled_.end();
}

// Only the bytes that the vocabulary can spell are counted, since the others give no token.
int64_t BpeTokenizer::least_tokens(std::string_view text) const {
  const auto is_spelled = [this](char c) { return is_spelled_[static_cast<uint8_t>(c)]; };
  const size_t n_bytes =
      spells_all_ ? text.size()
                  : static_cast<size_t>(std::count_if(text.begin(), text.end(), is_spelled));
  return static_cast<int64_t>((n_bytes + longest_token_ - 1) / longest_token_);
}

void BpeTokenizer::encode_piece(std::string_view piece, Scratch& scratch,
                                std::vector<int32_t>& ids) const {
  if (!whole_pieces_.empty()) {
    const auto whole = whole_pieces_.find(piece);
    if (whole != whole_pieces_.end()) return ids.push_back(whole->second);
  }
  merger_.merge(piece, scratch.bpe, ids);
}

void BpeTokenizer::encode_plain(std::string_view text, Scratch& scratch,
                                std::vector<int32_t>& ids) const {
  scratch.pieces.clear();
  pre_.split(text, scratch.pieces);
  for (const std::string_view piece : scratch.pieces) encode_piece(piece, scratch, ids);
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> make_bpe_tokenizer(TokenizerData data,
                                                      std::shared_ptr<PieceCache> pieces) {
  TRY(PreTokenizer pre, PreTokenizer::make(data.pre));
  TRY(BpeMerger merger, BpeMerger::build(data.merges, index_of(data.tokens)));
  data.merges = {};  // as large as the vocabulary, and not needed any more
  return std::unique_ptr<Tokenizer>(std::make_unique<BpeTokenizer>(
      std::move(data), std::move(merger), std::move(pre), std::move(pieces)));
}

}  // namespace lockstep
