// What Python's str does, on UTF-8: characters, not bytes, are counted and cut; a byte that is not
// UTF-8 counts as one character. Pure functions; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::jinja {

// Bytes of the first character of `text`, which must not be empty.
size_t char_bytes(std::string_view text);
size_t count_chars(std::string_view text);
size_t prefix_bytes(std::string_view text, size_t n_chars);  // of the first n_chars
std::vector<std::string_view> chars_of(std::string_view text);

bool is_space(std::string_view character);  // str.isspace() of one character

// str.strip(chars); white space if `chars` is empty.
std::string_view strip_left(std::string_view text, std::string_view chars);
std::string_view strip_right(std::string_view text, std::string_view chars);
std::string_view strip(std::string_view text, std::string_view chars);

// ASCII letters only: case mapping of other scripts would need tables that no template needs.
std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string capitalize(std::string_view text);
std::string title(std::string_view text);

size_t count(std::string_view text, std::string_view part);  // not overlapping
// At most `limit` times; limit < 0 = all.
std::string replace(std::string_view text, std::string_view from, std::string_view to, long limit);
std::vector<std::string_view> split(std::string_view text, std::string_view separator, long limit);
std::vector<std::string_view> split_space(std::string_view text, long limit);
std::vector<std::string_view> split_lines(std::string_view text);

// The escapes of a string literal: \n, \x41, \u00e9, … ; unknown ones stay as they are.
std::string unescape(std::string_view literal);

}  // namespace lockstep::jinja
