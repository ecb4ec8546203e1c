#include "node/text/jinja/values/letter_case.h"

#include "common/text/utf8.h"
#include "node/text/jinja/values/strings.h"
#include "node/text/jinja/values/unicode.h"

namespace lockstep::jinja {
namespace {

using unicode::Mapped;

char32_t code_point(std::string_view character) {
  const utf8::Step step = utf8::next(character);
  return step.state == utf8::State::kChar ? step.code_point : 0xFFFD;
}

// One character and its surroundings.
struct Place {
  std::string_view before, character, after;
  char32_t c;         // U+FFFD for a byte that is not UTF-8
  char32_t previous;  // 0 = this is the first character
};

// Calls visit(place) for every character, until it returns false.
template <class Visit>
void for_each_place(std::string_view text, const Visit& visit) {
  char32_t previous = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t n = char_bytes(text.substr(at));
    const std::string_view character = text.substr(at, n);
    const char32_t c = code_point(character);
    if (!visit(Place{text.substr(0, at), character, text.substr(at + n), c, previous})) return;
    previous = c;
    at += n;
  }
}

bool ends_word(const Place& place) {
  std::string_view before = place.before, after = place.after;
  bool is_cased_before = false, is_cased_after = false;
  while (!before.empty() && !is_cased_before) {
    const size_t n = last_char_bytes(before);
    const char32_t c = code_point(before.substr(before.size() - n));
    is_cased_before = !unicode::is_case_ignorable(c) && unicode::is_cased(c);
    if (!unicode::is_case_ignorable(c)) break;
    before.remove_suffix(n);
  }
  while (!after.empty() && !is_cased_after) {
    const char32_t c = code_point(after);
    is_cased_after = !unicode::is_case_ignorable(c) && unicode::is_cased(c);
    if (!unicode::is_case_ignorable(c)) break;
    after.remove_prefix(char_bytes(after));
  }
  return is_cased_before && !is_cased_after;
}

Mapped lower_of(const Place& place) {
  if (place.c == unicode::kCapitalSigma && ends_word(place)) return {unicode::kFinalSigma, 0, 0};
  return unicode::to_lower(place.c);
}

// Replaces every character by map(place).
template <class Map>
MarkedText map_characters(const MarkedText& text, const Map& map) {
  MarkedText out;
  for_each_place(text.bytes(), [&](const Place& place) {
    const Mapped mapped = map(place);
    if (mapped[0] == place.c && mapped[1] == 0) {
      out.append_part(text, place.character);
      return true;
    }
    std::string bytes;
    for (const char32_t m : mapped) {
      if (m != 0) utf8::append(m, bytes);
    }
    out.append(bytes, text.is_input(place.before.size()));
    return true;
  });
  return out;
}

// The state of istitle() and title(), whose words are runs of cased characters.
enum class Case { kNone, kUpper, kLower };

Case case_of(char32_t c) {
  if (unicode::is_upper(c) || unicode::is_title(c)) return Case::kUpper;
  return unicode::is_lower(c) ? Case::kLower : Case::kNone;
}

}  // namespace

MarkedText upper(const MarkedText& text) {
  return map_characters(text, [](const Place& place) { return unicode::to_upper(place.c); });
}

MarkedText lower(const MarkedText& text) { return map_characters(text, lower_of); }

MarkedText casefold(const MarkedText& text) {
  return map_characters(text, [](const Place& place) { return unicode::to_fold(place.c); });
}

MarkedText swapcase(const MarkedText& text) {
  return map_characters(text, [](const Place& place) {
    if (unicode::is_upper(place.c)) return lower_of(place);
    return unicode::is_lower(place.c) ? unicode::to_upper(place.c) : Mapped{place.c, 0, 0};
  });
}

MarkedText capitalize(const MarkedText& text) {
  return map_characters(text, [](const Place& place) {
    return place.before.empty() ? unicode::to_title(place.c) : lower_of(place);
  });
}

MarkedText title(const MarkedText& text) {
  return map_characters(text, [](const Place& place) {
    return unicode::is_cased(place.previous) ? lower_of(place) : unicode::to_title(place.c);
  });
}

// Jinja's filter: cuts the text at runs of white space and of -({[<, and puts the first character
// of each piece in title case.
MarkedText title_words(const MarkedText& text) {
  constexpr std::string_view kBreaks = "-({[<";
  const auto breaks = [&](std::string_view c) {
    return kBreaks.find(c[0]) != kBreaks.npos || is_space(c);
  };
  MarkedText out;
  std::string_view rest = text.bytes();
  while (!rest.empty()) {
    const bool is_break = breaks(rest);
    const size_t n_first = char_bytes(rest);
    size_t end = n_first;
    while (end < rest.size() && breaks(rest.substr(end)) == is_break) {
      end += char_bytes(rest.substr(end));
    }
    out.append(upper(text.part(rest.substr(0, n_first))));
    out.append(lower(text.part(rest.substr(n_first, end - n_first))));
    rest.remove_prefix(end);
  }
  return out;
}

bool is_upper(std::string_view text) {
  bool any = false, other = false;
  for_each_place(text, [&](const Place& place) {
    other = unicode::is_lower(place.c) || unicode::is_title(place.c);
    any = any || unicode::is_upper(place.c);
    return !other;
  });
  return any && !other;
}

bool is_lower(std::string_view text) {
  bool any = false, other = false;
  for_each_place(text, [&](const Place& place) {
    other = case_of(place.c) == Case::kUpper;
    any = any || unicode::is_lower(place.c);
    return !other;
  });
  return any && !other;
}

bool is_title(std::string_view text) {
  bool any = false, other = false;
  for_each_place(text, [&](const Place& place) {
    const Case now = case_of(place.c);
    const bool in_word = case_of(place.previous) != Case::kNone;
    other = (now == Case::kUpper && in_word) || (now == Case::kLower && !in_word);
    any = any || now != Case::kNone;
    return !other;
  });
  return any && !other;
}

}  // namespace lockstep::jinja
