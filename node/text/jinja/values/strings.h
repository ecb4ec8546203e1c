// Counting, cutting and replacing as Python's str does, on UTF-8: in characters, not bytes. A byte
// that is not UTF-8 counts as one character. A part that is cut out is a view into its text. Pure
// functions; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "node/text/marked_text.h"

namespace lockstep::jinja {

// The number of bytes of the first (or last) character of `text`, which must not be empty.
size_t char_bytes(std::string_view text);
size_t last_char_bytes(std::string_view text);
size_t count_chars(std::string_view text);
size_t prefix_bytes(std::string_view text, size_t n_chars);  // bytes of the first n_chars
std::vector<std::string_view> chars_of(std::string_view text);

bool is_space(std::string_view character);  // str.isspace() of one character

// str.strip(chars); strips white space if `chars` is empty.
std::string_view strip_left(std::string_view text, std::string_view chars);
std::string_view strip_right(std::string_view text, std::string_view chars);
std::string_view strip(std::string_view text, std::string_view chars);

size_t count(std::string_view text, std::string_view part);  // not overlapping
// Replaces at most `limit` times; limit < 0 = everywhere.
MarkedText replace(const MarkedText& text, std::string_view from, const MarkedText& to, long limit);
std::vector<std::string_view> split(std::string_view text, std::string_view separator, long limit);
std::vector<std::string_view> split_space(std::string_view text, long limit);
// The same from the right.
std::vector<std::string_view> rsplit(std::string_view text, std::string_view separator, long limit);
std::vector<std::string_view> rsplit_space(std::string_view text, long limit);
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends = false);

// Resolves the escapes of a string literal: \n, \x41, \u00e9, …; unknown ones stay as they are.
std::string unescape(std::string_view literal);

}  // namespace lockstep::jinja
