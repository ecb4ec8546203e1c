// SpmMerges: which symbols a SentencePiece vocabulary merges, and in which order. A symbol is a
// token, or a letter: a character that occurs in tokens and is no token itself. Two symbols merge
// if they spell a token together; the token with the higher score goes first. Immutable after
// build(); any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/result.h"
#include "node/text/tokenizer/id_map.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep {

class SpmMerges {
 public:
  static constexpr int32_t kNone = IdMap::kNone;
  // Bounds the work of build(). SentencePiece trains tokens of at most 16 characters.
  static constexpr size_t kMaxTokenBytes = 256;

  // Tokens of the types normal and unused are merged, and no others. The Error is kModelLoadFailed.
  static Result<SpmMerges> build(const TokenizerData& data);

  // The symbol of one character; kNone = it occurs in no token.
  int32_t letter_of(char32_t character) const {
    return character < ascii_.size() ? ascii_[character] : letters_.find(character);
  }
  // The token that two neighbours become; kNone = they do not merge.
  int32_t merged(int32_t left, int32_t right) const { return pairs_.find(key(left, right)); }
  // The place of a token in the order of merges: of a text's pairs the lowest rank merges first.
  uint32_t rank(int32_t token) const { return ranks_[static_cast<size_t>(token)]; }
  // False only if no token has the two letters side by side, so that no merge joins them.
  bool may_join(int32_t left, int32_t right) const {
    const uint64_t bit = mix64(key(left, right)) & joint_mask_;
    return (joints_[bit / 64] >> (bit % 64) & 1) != 0;
  }
  bool is_token(int32_t symbol) const { return static_cast<size_t>(symbol) < ranks_.size(); }
  // The character of a letter that is no token.
  const std::string& letter_text(int32_t letter) const {
    return letter_texts_[static_cast<size_t>(letter) - ranks_.size()];
  }

 private:
  using Index =
      std::unordered_map<std::string_view, int32_t>;  // spelling → id of a mergeable token

  SpmMerges() = default;
  static uint64_t key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  void add_letters(const Index& index);
  void add_letter(std::string_view character, char32_t code_point, const Index& index);
  void add_merges(const Index& index);
  void add_joints(const Index& index);
  void set_ranks(const Index& index, const std::vector<float>& scores);
  int32_t symbol_of(std::string_view text, const Index& index) const;

  std::array<int32_t, 128> ascii_{};
  IdMap letters_;                          // code point → symbol
  std::vector<std::string> letter_texts_;  // of the symbols behind the last token
  IdMap pairs_;                            // key(left, right) → token
  std::vector<uint32_t> ranks_;            // [vocab_size]; equal scores have equal ranks
  std::vector<uint64_t> joints_;           // bits by the hash of two letters
  uint64_t joint_mask_ = 0;
};

}  // namespace lockstep
