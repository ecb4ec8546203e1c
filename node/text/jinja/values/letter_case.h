// letter_case: upper, lower and title case as in Python's str. Marks of input are kept. Bytes that
// are not UTF-8 stay as they are. Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

#include "node/text/marked_text.h"

namespace lockstep::jinja {

MarkedText upper(const MarkedText& text);
MarkedText lower(const MarkedText& text);
MarkedText casefold(const MarkedText& text);
MarkedText swapcase(const MarkedText& text);
MarkedText capitalize(const MarkedText& text);
MarkedText title(const MarkedText& text);        // str.title(): "it's" becomes "It'S"
MarkedText title_words(const MarkedText& text);  // the filter: "it's" becomes "It's"

bool is_upper(std::string_view text);  // str.isupper()
bool is_lower(std::string_view text);
bool is_title(std::string_view text);

}  // namespace lockstep::jinja
