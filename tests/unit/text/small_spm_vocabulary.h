// A SentencePiece vocabulary that is small enough to read: the 256 bytes, a few merged tokens, best
// first, their letters, and tokens that are found as text. Tests should use names, not numbers.
#pragma once

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "node/text/tokenizer/tokenizer.h"

namespace lockstep::testing {

class SmallSpmVocabulary {
 public:
  SmallSpmVocabulary() {
    data.model = "llama";
    data.pre = "default";
    data.add_space_prefix = true;
    data.unk_id = add("<unk>", TokenType::kUnknown);
    data.bos_id = add("<s>", TokenType::kControl);
    data.eos_id = add("</s>", TokenType::kControl);
    for (int byte = 0; byte < 256; ++byte) {
      char name[8];
      std::snprintf(name, sizeof name, "<0x%02X>", byte);
      add(name, TokenType::kByte);
    }
    for (const char* token :
         {"▁w",     "or", "ll",   "he", "▁wor", "ld", "hell", "▁hell", "▁he", "hello", "▁hello",
          "▁world", "aa", "aaaa", "▁▁", "▁▁▁▁", "é!", "12",   "▁",     "h",   "e",     "l",
          "o",      "w",  "r",    "d",  "a",    "1",  "2",    "!",     "x"}) {
      add_merged(token);
    }
    add("<|user|>", TokenType::kControl);
    add("<tool>", TokenType::kUserDefined);
  }

  int32_t add(const std::string& token, TokenType type, float score = 0) {
    data.tokens.push_back(token);
    data.types.push_back(type);
    data.scores.push_back(score);
    return static_cast<int32_t>(data.tokens.size()) - 1;
  }
  // Adds a token that merges after all that were added before it.
  int32_t add_merged(const std::string& token, TokenType type = TokenType::kNormal) {
    return add(token, type, -static_cast<float>(++n_merged_));
  }
  int32_t id(std::string_view token) const {
    const auto at = std::find(data.tokens.begin(), data.tokens.end(), token);
    return at == data.tokens.end() ? -1 : static_cast<int32_t>(at - data.tokens.begin());
  }
  std::vector<std::string> names(const std::vector<int32_t>& ids) const {
    std::vector<std::string> out;
    for (const int32_t id : ids) out.push_back(data.tokens.at(static_cast<size_t>(id)));
    return out;
  }
  std::unique_ptr<Tokenizer> make() const { return make_tokenizer(data).value(); }

  TokenizerData data;

 private:
  int n_merged_ = 0;
};

// What a text is after encoding and decoding: SentencePiece reads U+2581 as a space.
inline std::string comes_back_as(std::string text) {
  constexpr std::string_view kSpace = "▁";
  for (size_t at; (at = text.find(kSpace)) != text.npos;) text.replace(at, kSpace.size(), " ");
  return text;
}

}  // namespace lockstep::testing
