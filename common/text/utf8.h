// utf8: UTF-8 for every layer that reads or writes text: well-formed exactly as table 3-7 of the
// Unicode standard has it (no surrogates, no overlong forms, nothing above U+10FFFF). libutfcpp
// decodes; what ill-formed bytes become is decided here. Pure functions; any thread.
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
  // kInvalid: the maximal subpart (section 3.9 of the standard), the longest prefix that some bytes
  // would complete to a character, at least 1. kIncomplete: the whole text.
  size_t n_bytes = 1;
  char32_t code_point = 0;  // kChar only
};

// Decodes the first character of `text`, which must not be empty.
Step next(std::string_view text);

bool is_valid(std::string_view text);

// Appends the encoding of `code_point`. Not checked: a surrogate gives bytes that are not valid.
void append(char32_t code_point, std::string& out);

inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// Every maximal subpart becomes one U+FFFD, and so does an incomplete end (table 3-8 of the
// standard), as in Python and in browsers.
std::string replace_invalid(std::string_view text);

}  // namespace lockstep::utf8
