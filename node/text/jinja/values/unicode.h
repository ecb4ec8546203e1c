// unicode: the case mappings and character classes of Python's str, by code point. The tables are
// those of Python 3.11 (make_unicode_tables.py). Pure functions; any thread.
#pragma once

#include <array>

namespace lockstep::jinja::unicode {

bool is_alpha(char32_t c);
bool is_decimal(char32_t c);
bool is_digit(char32_t c);
bool is_numeric(char32_t c);
bool is_alphanumeric(char32_t c);
bool is_upper(char32_t c);
bool is_lower(char32_t c);
bool is_title(char32_t c);
bool is_cased(char32_t c);
bool is_printable(char32_t c);  // repr() shows it as it is
bool is_space(char32_t c);
bool is_line_end(char32_t c);  // str.splitlines() ends a line here

// The characters that one character is mapped to; 0 = no more.
using Mapped = std::array<char32_t, 3>;
Mapped to_upper(char32_t c);
Mapped to_title(char32_t c);
Mapped to_fold(char32_t c);
Mapped to_lower(char32_t c);

// A capital sigma at the end of a word has a lower case of its own. It is at the end of a word if a
// cased character stands before it and none after it, not counting case-ignorable characters.
inline constexpr char32_t kCapitalSigma = 0x3A3, kFinalSigma = 0x3C2;
bool is_case_ignorable(char32_t c);

}  // namespace lockstep::jinja::unicode
