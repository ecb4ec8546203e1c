// The filter wordwrap: fills lines as Python's textwrap does.
#include <algorithm>
#include <array>

#include "common/text/utf8.h"
#include "node/text/jinja/builtins/builtins.h"
#include "node/text/jinja/values/strings.h"
#include "node/text/jinja/values/unicode.h"

namespace lockstep::jinja {
namespace {

// One character of a line, with the properties that textwrap uses.
struct Character {
  std::string_view bytes;
  bool space = false;   // a line may break here
  bool word = false;    // \w
  bool letter = false;  // \w but no digit
  bool joins = false;   // \w and punctuation that stays with a word
  size_t n_dashes = 0;  // length of the run of dashes that begins here
};
using Characters = std::vector<Character>;

Characters characters_of(std::string_view line) {
  Characters out;
  for (const std::string_view bytes : chars_of(line)) {
    const utf8::Step step = utf8::next(bytes);
    const char32_t c = step.state == utf8::State::kChar ? step.code_point : 0xFFFD;
    Character character{bytes};
    character.space = c == ' ' || (c >= 9 && c <= 13);
    character.word = c == '_' || unicode::is_alphanumeric(c);
    character.letter = character.word && !unicode::is_decimal(c);
    character.joins =
        character.word || (c < 0x80 && std::string_view("!\"'&.,?").find(bytes) != bytes.npos);
    character.n_dashes = c == '-' ? 1 : 0;
    out.push_back(character);
  }
  for (size_t i = out.size(); i > 1; --i) {
    if (out[i - 2].n_dashes > 0) out[i - 2].n_dashes += out[i - 1].n_dashes;
  }
  return out;
}

class Chunks {
 public:
  Chunks(const Characters& line, bool at_hyphens) : line_(line), at_hyphens_(at_hyphens) {}

  // The end of the chunk that begins at `begin`.
  size_t end_of(size_t begin) const {
    size_t end = begin + 1;
    if (line_[begin].space) {
      while (end < line_.size() && line_[end].space) ++end;
      return end;
    }
    if (at_hyphens_ && begin > 0 && line_[begin - 1].joins && is_em_dash(begin)) {
      return begin + line_[begin].n_dashes;
    }
    for (;; ++end) {
      if (at_hyphens_ && is_hyphen_of_word(end)) return end + 1;
      if (end == line_.size() || line_[end].space) return end;
      if (at_hyphens_ && line_[end - 1].joins && is_em_dash(end)) return end;
    }
  }

 private:
  bool is_letter(size_t at) const { return at < line_.size() && line_[at].letter; }
  bool is_dash(size_t at) const { return at < line_.size() && line_[at].n_dashes > 0; }
  bool is_em_dash(size_t at) const {
    if (at >= line_.size() || line_[at].n_dashes < 2) return false;
    const size_t end = at + line_[at].n_dashes;
    return end < line_.size() && line_[end].word;
  }
  // Whether the dash at `at` is a hyphen inside a word: two letters, or a letter, a dash and a
  // letter, stand before it, and two letters after it.
  bool is_hyphen_of_word(size_t at) const {
    if (!is_dash(at)) return false;
    const bool behind_two = at >= 2 && is_letter(at - 1) && is_letter(at - 2);
    const bool behind_one = at >= 3 && line_[at - 1].joins && is_dash(at - 2) && is_letter(at - 3);
    const bool before_two =
        is_letter(at + 1) && (is_letter(at + 2) || (is_dash(at + 2) && is_letter(at + 3)));
    return (behind_two || behind_one) && before_two;
  }

  const Characters& line_;
  const bool at_hyphens_;
};

struct WrapStyle {
  size_t width;
  bool break_long_words, at_hyphens;
};

struct CharSpan {
  size_t begin, end;
  size_t size() const { return end - begin; }
};

bool is_blank(const Characters& line, CharSpan span) {
  return std::all_of(line.begin() + static_cast<long>(span.begin),
                     line.begin() + static_cast<long>(span.end),
                     [](const Character& c) { return is_space(c.bytes); });
}

// The part of a word longer than a line that fits in the `room` left on the line.
size_t part_that_fits(const Characters& line, CharSpan word, size_t room, bool at_hyphens) {
  if (!at_hyphens || word.size() <= room) return std::min(room, word.size());
  for (size_t at = room; at > 1; --at) {
    if (line[word.begin + at - 1].n_dashes == 0) continue;
    const bool only_dashes = line[word.begin].n_dashes >= at - 1;
    return only_dashes ? room : at;
  }
  return room;
}

// For each wrapped line, the span of its characters.
std::vector<CharSpan> wrap(const Characters& line, const WrapStyle& style) {
  const Chunks chunks(line, style.at_hyphens);
  std::vector<CharSpan> lines;
  CharSpan next{0, 0};  // a chunk, or the rest of one
  const auto advance = [&] {
    next = {next.end, next.end};
    if (next.begin < line.size()) next.end = chunks.end_of(next.begin);
  };
  advance();
  while (next.size() > 0) {
    if (!lines.empty() && is_blank(line, next)) advance();
    CharSpan taken{next.begin, next.begin};
    size_t last_begin = next.begin;  // begin of the last chunk on this line
    while (next.size() > 0 && taken.size() + next.size() <= style.width) {
      last_begin = next.begin;
      taken.end = next.end;
      advance();
    }
    if (next.size() > style.width) {
      const size_t n =
          style.break_long_words
              ? part_that_fits(line, next, style.width - taken.size(), style.at_hyphens)
          : taken.size() == 0 ? next.size()
                              : 0;
      if (style.break_long_words) last_begin = next.begin;  // textwrap counts even an empty part
      if (n > 0) {
        last_begin = next.begin;
        next.begin += n;
        taken.end = next.begin;
        if (next.size() == 0) advance();
      }
    }
    if (taken.size() > 0 && is_blank(line, {last_begin, taken.end})) taken.end = last_begin;
    if (taken.size() > 0) lines.push_back(taken);
  }
  return lines;
}

// wordwrap(width=79, break_long_words=true, wrapstring="\n", break_on_hyphens=true)
Result<Value> wordwrap(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound,
      args.bind(runtime, {"width", "break_long_words", "wrapstring", "break_on_hyphens"}, 0));
  if (!self.is_string()) return runtime.fail("wordwrap takes a string");
  const int64_t width = bound[0].is_integral() ? bound[0].as_int() : 79;
  if (width <= 0) return runtime.fail("wordwrap: the width must be at least 1");
  const WrapStyle style{static_cast<size_t>(width), bound[1].is_undefined() || bound[1].truthy(),
                        bound[3].is_undefined() || bound[3].truthy()};
  const MarkedText& text = self.as_text();
  const MarkedText between = bound[2].is_string() ? bound[2].as_text() : MarkedText::own("\n");
  TRY([[maybe_unused]] const Ok paid, runtime.make(text.size() * sizeof(Character)));
  MarkedText out;
  bool first = true;
  for (const std::string_view line : split_lines(text.bytes())) {
    if (!std::exchange(first, false)) out.append(between);
    const Characters characters = characters_of(line);
    bool first_part = true;
    for (const CharSpan span : wrap(characters, style)) {
      TRY([[maybe_unused]] const Ok also_paid, runtime.make(between.held_bytes()));
      if (!std::exchange(first_part, false)) out.append(between);
      const char* begin = characters[span.begin].bytes.data();
      const std::string_view last = characters[span.end - 1].bytes;
      out.append_part(text, {begin, static_cast<size_t>(last.data() + last.size() - begin)});
    }
  }
  return runtime.string(std::move(out));
}

constexpr std::array<NamedBuiltin, 1> kWrappingFilters = {{{"wordwrap", wordwrap}}};

}  // namespace

std::span<const NamedBuiltin> wrapping_filters() { return kWrappingFilters; }

}  // namespace lockstep::jinja
