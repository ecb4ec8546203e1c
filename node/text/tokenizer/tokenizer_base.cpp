#include "node/text/tokenizer/tokenizer_base.h"

#include <algorithm>
#include <utility>

namespace lockstep {

TokenizerBase::TokenizerBase(TokenizerData data, std::shared_ptr<PieceCache> cache)
    : data_(std::move(data)),
      cache_(std::move(cache)),
      cache_id_(cache_ ? cache_->new_tokenizer_id() : 0),
      bytes_(data_.tokens.size()) {
  collect_end_ids();
  add_special_tokens();
  if (!data_.rstrip_ids.empty()) strips_right_.resize(data_.tokens.size());
  for (const int32_t id : data_.rstrip_ids) strips_right_[static_cast<size_t>(id)] = true;
}

void TokenizerBase::collect_end_ids() {
  end_ids_ = data_.extra_eog_ids;
  end_ids_.push_back(data_.eos_id);
  std::sort(end_ids_.begin(), end_ids_.end());
  end_ids_.erase(std::unique(end_ids_.begin(), end_ids_.end()), end_ids_.end());
  if (end_ids_.front() < 0) end_ids_.erase(end_ids_.begin());
}

bool TokenizerBase::frames_text(int32_t id) const {
  return id == data_.bos_id || std::binary_search(end_ids_.begin(), end_ids_.end(), id);
}

void TokenizerBase::add_special_tokens() {
  for (int32_t id = 0; id < vocab_size(); ++id) {
    const TokenType kind = type(id);
    const bool is_special = kind == TokenType::kUserDefined || kind == TokenType::kControl ||
                            kind == TokenType::kUnknown;
    if (!is_special) continue;
    const std::string& text = data_.tokens[static_cast<size_t>(id)];
    spell(id, text);
    special_.add(text, id, kind == TokenType::kUserDefined && !frames_text(id));
  }
}

std::string_view TokenizerBase::stripped(std::string_view text, int32_t previous) const {
  if (strips_right_.empty() || previous < 0 || !strips_right_[static_cast<size_t>(previous)])
    return text;
  return text.substr(std::min(text.find_first_not_of(" \t\n\v\f\r"), text.size()));
}

void TokenizerBase::encode_fragments(const std::vector<SpecialTokens::Fragment>& fragments,
                                     std::vector<int32_t>& ids) const {
  Scratch scratch;
  int32_t previous = -1;
  for (const SpecialTokens::Fragment& fragment : fragments) {
    if (fragment.id >= 0) {
      previous = fragment.id;
      ids.push_back(previous);
      continue;
    }
    const std::string_view text = stripped(fragment.text, previous);
    if (text.empty()) continue;
    const bool is_cached = cache_ != nullptr && text.size() >= PieceCache::kMinPieceBytes;
    if (is_cached && cache_->find(cache_id_, text, ids)) continue;
    const size_t n_before = ids.size();
    encode_plain(text, scratch, ids);
    if (is_cached) cache_->add(cache_id_, text, ids.data() + n_before, ids.size() - n_before);
  }
}

std::vector<int32_t> TokenizerBase::encode(std::string_view text, bool parse_special,
                                           bool add_special) const {
  std::vector<int32_t> ids;
  if (add_special && data_.add_bos && data_.bos_id >= 0) ids.push_back(data_.bos_id);
  std::vector<SpecialTokens::Fragment> fragments;
  special_.split(text, parse_special, fragments);
  encode_fragments(fragments, ids);
  return ids;
}

std::vector<int32_t> TokenizerBase::encode_chat(const MarkedText& text) const {
  std::vector<int32_t> ids;
  std::vector<SpecialTokens::Fragment> fragments;
  special_.split(text, fragments);
  encode_fragments(fragments, ids);
  return ids;
}

std::string_view TokenizerBase::token_bytes(int32_t id, bool special) const {
  if (id < 0 || id >= vocab_size()) return {};
  const bool hidden = type(id) == TokenType::kControl || type(id) == TokenType::kUnknown;
  return hidden && !special ? std::string_view() : bytes(id);
}

std::string TokenizerBase::decode(const std::vector<int32_t>& ids, bool special) const {
  std::string text;
  int32_t previous = -1;
  for (const int32_t id : ids) {
    text += bytes_after(previous, id, special);
    previous = id;
  }
  return text;
}

}  // namespace lockstep
