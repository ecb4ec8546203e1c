// Random text and bytes of the kinds that are hard for tokenizers.
#pragma once

#include <string>

#include "common/text/utf8.h"
#include "tests/support/random.h"

namespace lockstep::testing {

inline std::string random_bytes(SeededRandom& random, int64_t max_bytes) {
  std::string text(static_cast<size_t>(random.integer(0, max_bytes)), '\0');
  for (char& byte : text) byte = static_cast<char>(random.integer(0, 255));
  return text;
}

// Valid UTF-8: words, digits, white space and arbitrary characters.
inline std::string random_text(SeededRandom& random, int64_t max_pieces) {
  static const std::vector<std::string> kCommon = {
      " ", "  ", "\n", "\r\n", "\t",   "a",  "Hello", " world", "'s", "'LL",    "1",  "234",
      ".", "?!", "é",  "中文", "🙂", "<|", "|>",    "\u00a0", "ß",  "\u0301", "{%", "aaaa"};
  std::string text;
  const int64_t n_pieces = random.integer(0, max_pieces);
  for (int64_t i = 0; i < n_pieces; ++i) {
    if (random.chance(0.8)) {
      text += kCommon[static_cast<size_t>(random.integer(0, std::ssize(kCommon) - 1))];
      continue;
    }
    const auto code_point = static_cast<char32_t>(random.integer(0, 0x10FFFF));
    if (code_point < 0xD800 || code_point > 0xDFFF) utf8::append(code_point, text);
  }
  return text;
}

}  // namespace lockstep::testing
