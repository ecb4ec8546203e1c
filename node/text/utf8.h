// utf8: decodes one character at a time. Well-formed UTF-8 is exactly that of table 3-7 of the
// Unicode standard (no surrogates, no overlong forms). Pure functions; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lockstep::utf8 {

enum class State {
  kChar,        // a whole character
  kInvalid,     // the bytes begin no character
  kIncomplete,  // the text ends inside a character that may still be completed
};

struct Step {
  State state = State::kInvalid;
  size_t n_bytes = 1;       // kInvalid: the longest prefix that could begin a character, at least 1
  char32_t code_point = 0;  // kChar only
};

// Decodes the first character of `text`, which must not be empty.
Step next(std::string_view text);

bool is_valid(std::string_view text);
void append(char32_t code_point, std::string& out);

inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

}  // namespace lockstep::utf8
