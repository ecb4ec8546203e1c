// UTF-8 checks for the wire: they decide whether bytes are sent as text or as raw bytes. Stateless;
// any thread.
#pragma once

#include <string>
#include <string_view>

namespace lockstep::wire {

// Utf8Step: the first character of a text, or the ill-formed bytes in its place.
struct Utf8Step {
  size_t n_bytes = 0;  // a whole character, or a maximal ill-formed part
  bool valid = false;
  bool incomplete = false;  // ill-formed only because the text ends inside a character
};
// `text` must not be empty.
Utf8Step next_character(std::string_view text);

// Well-formed by RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_valid_utf8(std::string_view text);

// Replaces every maximal ill-formed part by one U+FFFD (Unicode 15, table 3-8), as Python and
// browsers do.
std::string replace_invalid_utf8(std::string_view text);

}  // namespace lockstep::wire
