// The byte-level BPE tokenizer: special tokens, then the family's pre-tokenizer, then merges.
#include <algorithm>
#include <array>
#include <utility>

#include "node/text/tokenizer/bpe_merger.h"
#include "node/text/tokenizer/byte_alphabet.h"
#include "node/text/tokenizer/piece_cache.h"
#include "node/text/tokenizer/pre_tokenizer.h"
#include "node/text/tokenizer/special_tokens.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep {
namespace {

Error load_error(std::string message) {
  return Error{ErrorCode::kModelLoadFailed, "tokenizer: " + std::move(message), {}};
}

Status check(const TokenizerData& data) {
  const size_t n_tokens = data.tokens.size();
  if (data.model != "gpt2") {
    return load_error("model '" + data.model + "' is not supported; known: gpt2");
  }
  if (n_tokens == 0) return load_error("the vocabulary is empty");
  if (n_tokens > INT32_MAX) return load_error("the vocabulary has more than 2^31 tokens");
  if (data.types.size() != n_tokens) {
    return load_error(std::to_string(n_tokens) + " tokens but " +
                      std::to_string(data.types.size()) + " token types");
  }
  std::vector<std::pair<const char*, int32_t>> ids = {{"beginning-of-text", data.bos_id},
                                                      {"end-of-text", data.eos_id},
                                                      {"unknown", data.unk_id},
                                                      {"padding", data.pad_id}};
  for (const int32_t id : data.extra_eog_ids) ids.emplace_back("end-of-generation", id);
  for (const auto& [name, id] : ids) {
    if (id >= -1 && id < static_cast<int64_t>(n_tokens)) continue;
    return load_error(std::string(name) + " token " + std::to_string(id) +
                      " is outside the vocabulary of " + std::to_string(n_tokens));
  }
  return Ok{};
}

TokenIndex index_of(const std::vector<std::string>& tokens) {
  TokenIndex index;
  index.reserve(tokens.size());
  for (size_t id = 0; id < tokens.size(); ++id) index[tokens[id]] = static_cast<int32_t>(id);
  return index;
}

class BpeTokenizer final : public Tokenizer {
 public:
  BpeTokenizer(TokenizerData data, BpeMerger merger, PreTokenizer pre,
               std::shared_ptr<PieceCache> cache)
      : data_(std::move(data)),
        merger_(std::move(merger)),
        pre_(std::move(pre)),
        cache_(std::move(cache)),
        cache_id_(cache_ ? cache_->new_tokenizer_id() : 0) {
    collect_end_ids();
    spell_tokens();
    measure_tokens();
  }

  std::vector<int32_t> encode(std::string_view text, bool parse_special,
                              bool add_special) const override;
  int64_t least_tokens(std::string_view text) const override;
  std::vector<int32_t> encode_chat(const MarkedText& text) const override;
  std::string_view token_bytes(int32_t id, bool special) const override;
  std::string decode(const std::vector<int32_t>& ids, bool special) const override;

  int32_t vocab_size() const override { return static_cast<int32_t>(data_.tokens.size()); }
  int32_t bos_id() const override { return data_.bos_id; }
  int32_t eos_id() const override { return data_.eos_id; }
  const std::vector<int32_t>& end_ids() const override { return end_ids_; }
  const std::string& chat_template() const override { return data_.chat_template; }

 private:
  void spell_tokens();
  void measure_tokens();
  void collect_end_ids();
  // Whether a token begins or ends a text. Some files give such a token the type user-defined.
  bool frames_text(int32_t id) const {
    return id == data_.bos_id || std::binary_search(end_ids_.begin(), end_ids_.end(), id);
  }
  void encode_fragments(const std::vector<SpecialTokens::Fragment>& fragments,
                        std::vector<int32_t>& ids) const;
  void encode_plain(std::string_view text, std::vector<std::string_view>& pieces,
                    BpeMerger::Scratch& scratch, std::vector<int32_t>& ids) const;
  void encode_piece(std::string_view piece, BpeMerger::Scratch& scratch,
                    std::vector<int32_t>& ids) const;

  // Constant after construction.
  TokenizerData data_;
  BpeMerger merger_;
  PreTokenizer pre_;
  const std::shared_ptr<PieceCache> cache_;  // of plain text between special tokens; or null
  const uint64_t cache_id_;
  SpecialTokens special_;
  std::vector<std::string> bytes_;  // by id
  TokenIndex whole_pieces_;         // by bytes; empty unless the family takes whole pieces first
  std::vector<int32_t> end_ids_;    // ascending
  size_t longest_token_ = 1;        // bytes
  std::array<bool, 256> is_spelled_{};  // by byte: a token spells this byte alone
  bool spells_all_ = true;
};

void BpeTokenizer::spell_tokens() {
  bytes_.resize(data_.tokens.size());
  for (size_t i = 0; i < bytes_.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    switch (data_.types[i]) {
      case TokenType::kNormal:
        bytes_[i] = spelled_bytes(data_.tokens[i]);
        if (pre_.whole_pieces_first()) whole_pieces_.emplace(bytes_[i], id);
        break;
      case TokenType::kUserDefined:
      case TokenType::kControl:
      case TokenType::kUnknown:
        bytes_[i] = data_.tokens[i];
        special_.add(data_.tokens[i], id,
                     data_.types[i] == TokenType::kUserDefined && !frames_text(id));
        break;
      case TokenType::kUnused:
      case TokenType::kByte:  // a byte-level vocabulary does not use such tokens
        break;
    }
  }
}

void BpeTokenizer::measure_tokens() {
  for (size_t i = 0; i < bytes_.size(); ++i) {
    longest_token_ = std::max(longest_token_, bytes_[i].size());
    if (data_.types[i] == TokenType::kNormal && bytes_[i].size() == 1) {
      is_spelled_[static_cast<uint8_t>(bytes_[i][0])] = true;
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

void BpeTokenizer::collect_end_ids() {
  end_ids_ = data_.extra_eog_ids;
  end_ids_.push_back(data_.eos_id);
  std::sort(end_ids_.begin(), end_ids_.end());
  end_ids_.erase(std::unique(end_ids_.begin(), end_ids_.end()), end_ids_.end());
  if (end_ids_.front() < 0) end_ids_.erase(end_ids_.begin());
}

void BpeTokenizer::encode_piece(std::string_view piece, BpeMerger::Scratch& scratch,
                                std::vector<int32_t>& ids) const {
  if (!whole_pieces_.empty()) {
    const auto whole = whole_pieces_.find(piece);
    if (whole != whole_pieces_.end()) return ids.push_back(whole->second);
  }
  merger_.merge(piece, scratch, ids);
}

void BpeTokenizer::encode_fragments(const std::vector<SpecialTokens::Fragment>& fragments,
                                    std::vector<int32_t>& ids) const {
  std::vector<std::string_view> pieces;
  BpeMerger::Scratch scratch;
  for (const SpecialTokens::Fragment& fragment : fragments) {
    if (fragment.id >= 0) {
      ids.push_back(fragment.id);
      continue;
    }
    const bool is_cached = cache_ != nullptr && fragment.text.size() >= PieceCache::kMinPieceBytes;
    if (is_cached && cache_->find(cache_id_, fragment.text, ids)) continue;
    const size_t n_before = ids.size();
    encode_plain(fragment.text, pieces, scratch, ids);
    if (is_cached)
      cache_->add(cache_id_, fragment.text, ids.data() + n_before, ids.size() - n_before);
  }
}

void BpeTokenizer::encode_plain(std::string_view text, std::vector<std::string_view>& pieces,
                                BpeMerger::Scratch& scratch, std::vector<int32_t>& ids) const {
  pieces.clear();
  pre_.split(text, pieces);
  for (const std::string_view piece : pieces) encode_piece(piece, scratch, ids);
}

std::vector<int32_t> BpeTokenizer::encode(std::string_view text, bool parse_special,
                                          bool add_special) const {
  std::vector<int32_t> ids;
  if (add_special && data_.add_bos && data_.bos_id >= 0) ids.push_back(data_.bos_id);
  std::vector<SpecialTokens::Fragment> fragments;
  special_.split(text, parse_special, fragments);
  encode_fragments(fragments, ids);
  return ids;
}

std::vector<int32_t> BpeTokenizer::encode_chat(const MarkedText& text) const {
  std::vector<int32_t> ids;
  std::vector<SpecialTokens::Fragment> fragments;
  special_.split(text, fragments);
  encode_fragments(fragments, ids);
  return ids;
}

std::string_view BpeTokenizer::token_bytes(int32_t id, bool special) const {
  if (id < 0 || id >= vocab_size()) return {};
  const bool hidden =
      data_.types[id] == TokenType::kControl || data_.types[id] == TokenType::kUnknown;
  return hidden && !special ? std::string_view() : bytes_[id];
}

std::string BpeTokenizer::decode(const std::vector<int32_t>& ids, bool special) const {
  std::string text;
  for (const int32_t id : ids) text += token_bytes(id, special);
  return text;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> make_tokenizer(TokenizerData data,
                                                  std::shared_ptr<PieceCache> pieces) {
  TRY([[maybe_unused]] const Ok checked, check(data));
  TRY(PreTokenizer pre, PreTokenizer::make(data.pre));
  TRY(BpeMerger merger, BpeMerger::build(data.merges, index_of(data.tokens)));
  data.merges = {};  // as large as the vocabulary, and not needed any more
  return std::unique_ptr<Tokenizer>(std::make_unique<BpeTokenizer>(
      std::move(data), std::move(merger), std::move(pre), std::move(pieces)));
}

}  // namespace lockstep
