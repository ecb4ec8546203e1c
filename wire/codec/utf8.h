// UTF-8 at the protocol's edge: what is text and what must travel as raw bytes. Stateless; any
// thread.
#pragma once

#include <string>
#include <string_view>

namespace lockstep::wire {

// Well-formed by RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
// The first character of a text, or what stands in its place.
struct Utf8Step {
  size_t n_bytes = 0;  // consumed: a whole character, or a maximal ill-formed part
  bool valid = false;
  bool incomplete = false;  // ill-formed only because the text ends inside a character
};
// `text` must not be empty.
Utf8Step next_character(std::string_view text);

bool is_valid_utf8(std::string_view text);

// Every maximal ill-formed part becomes one U+FFFD (Unicode 15, table 3-8), as Python and the
// browsers do.
std::string replace_invalid_utf8(std::string_view text);

}  // namespace lockstep::wire
