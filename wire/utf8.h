// UTF-8 at the protocol's edge: what is text and what must travel as raw bytes. Stateless; any
// thread.
#pragma once

#include <string>
#include <string_view>

namespace lockstep::wire {

// Well-formed by RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_valid_utf8(std::string_view text);

// Every maximal ill-formed part becomes one U+FFFD (Unicode 15, table 3-8), as Python and the
// browsers do.
std::string replace_invalid_utf8(std::string_view text);

}  // namespace lockstep::wire
