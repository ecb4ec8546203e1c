#include "node/text/tokenizer/spm_merges.h"

#include <algorithm>
#include <cmath>

#include "common/text/utf8.h"
#include "node/text/tokenizer/tokenizer_kinds.h"

namespace lockstep {
namespace {

bool is_mergeable(TokenType type) {
  return type == TokenType::kNormal || type == TokenType::kUnused;
}

// Calls use(character, code_point) for each character of `text`, which is valid UTF-8.
template <class Use>
void each_character(std::string_view text, const Use& use) {
  while (!text.empty()) {
    const utf8::Step step = utf8::next(text);
    use(text.substr(0, step.n_bytes), step.code_point);
    text.remove_prefix(step.n_bytes);
  }
}

Status check_scores(const TokenizerData& data) {
  if (data.scores.size() != data.tokens.size()) {
    return tokenizer_error(std::to_string(data.tokens.size()) + " tokens but " +
                           std::to_string(data.scores.size()) + " scores");
  }
  for (size_t id = 0; id < data.scores.size(); ++id) {
    if (!std::isnan(data.scores[id])) continue;
    return tokenizer_error("the score of token " + std::to_string(id) + " is not a number");
  }
  return Ok{};
}

}  // namespace

Result<SpmMerges> SpmMerges::build(const TokenizerData& data) {
  TRY([[maybe_unused]] const Ok checked, check_scores(data));
  Index index;
  index.reserve(data.tokens.size());
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    const std::string& text = data.tokens[id];
    // Text that is encoded has no such characters: bytes that are not UTF-8 never merge.
    if (!is_mergeable(data.types[id]) || text.empty() || !utf8::is_valid(text)) continue;
    if (text.size() > kMaxTokenBytes) {
      return tokenizer_error("token " + std::to_string(id) + " has " + std::to_string(text.size()) +
                             " bytes; the longest that is merged has " +
                             std::to_string(kMaxTokenBytes));
    }
    index[text] = static_cast<int32_t>(id);  // of equal spellings the last one, as in llama.cpp
  }
  SpmMerges merges;
  merges.set_ranks(index, data.scores);
  merges.add_letters(index);
  merges.add_merges(index);
  merges.add_joints(index);
  return merges;
}

void SpmMerges::set_ranks(const Index& index, const std::vector<float>& scores) {
  std::vector<int32_t> ids;
  ids.reserve(index.size());
  for (const auto& [text, id] : index) ids.push_back(id);
  const auto score = [&](int32_t id) { return scores[static_cast<size_t>(id)]; };
  std::sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) { return score(a) > score(b); });
  ranks_.assign(scores.size(), 0);
  uint32_t rank = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i > 0 && score(ids[i]) != score(ids[i - 1])) ++rank;
    ranks_[static_cast<size_t>(ids[i])] = rank;
  }
}

void SpmMerges::add_letter(std::string_view character, char32_t code_point, const Index& index) {
  if (letter_of(code_point) != kNone) return;
  const auto token = index.find(character);
  const auto id = token != index.end() ? token->second
                                       : static_cast<int32_t>(ranks_.size() + letter_texts_.size());
  if (token == index.end()) letter_texts_.emplace_back(character);
  if (code_point < ascii_.size()) {
    ascii_[code_point] = id;
  } else {
    letters_.set(code_point, id);
  }
}

void SpmMerges::add_letters(const Index& index) {
  ascii_.fill(kNone);
  for (const auto& [text, id] : index) {
    each_character(text, [&](std::string_view character, char32_t code_point) {
      add_letter(character, code_point, index);
    });
  }
}

// `text` is not empty.
int32_t SpmMerges::symbol_of(std::string_view text, const Index& index) const {
  const auto token = index.find(text);
  if (token != index.end()) return token->second;
  const utf8::Step first = utf8::next(text);
  return first.n_bytes == text.size() ? letter_of(first.code_point) : kNone;
}

void SpmMerges::add_merges(const Index& index) {
  for (const auto& [text, id] : index) {
    size_t cut = 0;
    each_character(text, [&, whole = text, token = id](std::string_view character, char32_t) {
      cut += character.size();
      if (cut == whole.size()) return;
      const int32_t left = symbol_of(whole.substr(0, cut), index);
      const int32_t right = left == kNone ? kNone : symbol_of(whole.substr(cut), index);
      if (right != kNone) pairs_.set(key(left, right), token);
    });
  }
}

void SpmMerges::add_joints(const Index& index) {
  constexpr size_t kMinBits = 4096, kMaxBits = size_t{1} << 22;
  size_t n_letters = 0;
  for (const auto& [text, id] : index) n_letters += text.size();
  size_t n_bits = kMinBits;
  while (n_bits < 4 * n_letters && n_bits < kMaxBits) n_bits *= 2;
  joint_mask_ = n_bits - 1;
  joints_.assign(n_bits / 64, 0);
  for (const auto& [text, id] : index) {
    int32_t left = kNone;
    each_character(text, [&](std::string_view, char32_t code_point) {
      const int32_t right = letter_of(code_point);
      const uint64_t bit = mix64(key(left, right)) & joint_mask_;
      if (left != kNone) joints_[bit / 64] |= uint64_t{1} << (bit % 64);
      left = right;
    });
  }
}

}  // namespace lockstep
