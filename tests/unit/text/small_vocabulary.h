// A byte-level vocabulary that is small enough to read: the 256 bytes, the results of the merges
// below, and a few tokens that are found as text. Tests should use names of tokens, not numbers.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "common/text/utf8.h"
#include "node/text/tokenizer/byte_alphabet.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep::testing {

class SmallVocabulary {
 public:
  explicit SmallVocabulary(std::string pre = "gpt-2") {
    data.model = "gpt2";
    data.pre = std::move(pre);
    for (int byte = 0; byte < 256; ++byte) {
      std::string letter;
      utf8::append(byte_to_letter(static_cast<uint8_t>(byte)), letter);
      add(letter, TokenType::kNormal);
    }
    for (const char* merge : {"h e", "l l", "he ll", "hell o", "Ġ w", "o r", "Ġw or", "l d",
                              "Ġwor ld", "a a", "aa aa", "Ġ Ġ", "1 2", "12 3"}) {
      add_merge(merge);
    }
    data.bos_id = add("<|begin|>", TokenType::kControl);
    data.eos_id = add("<|end|>", TokenType::kControl);
    add("<|end|>>", TokenType::kControl);
    add("<tool>", TokenType::kUserDefined);
    data.unk_id = add("<unk>", TokenType::kUnknown);
    add("[unused]", TokenType::kUnused);
  }

  int32_t add(const std::string& token, TokenType type) {
    data.tokens.push_back(token);
    data.types.push_back(type);
    return static_cast<int32_t>(data.tokens.size()) - 1;
  }
  void add_merge(const std::string& merge) {
    data.merges.push_back(merge);
    std::string joined = merge;
    joined.erase(joined.find(' '), 1);
    add(joined, TokenType::kNormal);
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
};

}  // namespace lockstep::testing
