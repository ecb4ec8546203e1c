// What the readers of all formats say of a file that cannot be used.
#pragma once

#include <sstream>
#include <string>
#include <string_view>

#include "common/load_error.h"

namespace lockstep {

// Throws LoadError with the parts joined.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw LoadError(message.str());
}

// A name from the file, made safe to print: quoted, one line of printable ASCII and UTF-8,
// truncated if long.
std::string quoted(std::string_view text);
// Without these overloads, a call with a std::string would be one of std::quoted where <iomanip> is
// included.
inline std::string quoted(const std::string& text) { return quoted(std::string_view(text)); }
inline std::string quoted(std::string& text) { return quoted(std::string_view(text)); }
inline std::string quoted(const char* text) { return quoted(std::string_view(text)); }

}  // namespace lockstep
