// utf8: one character at a time, well-formed UTF-8 exactly as the Unicode standard's table 3-7 has
// it (no surrogates, no overlong forms). Pure functions; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lockstep::utf8 {

enum class State {
  kChar,        // a whole character
  kInvalid,     // these bytes begin no character
  kIncomplete,  // the text ends inside what may become a character
};

struct Step {
  State state = State::kInvalid;
  size_t n_bytes = 1;       // kInvalid: the longest prefix that looked right, at least 1
  char32_t code_point = 0;  // kChar only
};

// Looks at the first character of `text`, which must not be empty.
Step next(std::string_view text);

bool is_valid(std::string_view text);
void append(char32_t code_point, std::string& out);

inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

}  // namespace lockstep::utf8
