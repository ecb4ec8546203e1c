#include "node/text/jinja/values/strings.h"

#include <algorithm>

#include "common/text/utf8.h"
#include "node/text/jinja/values/unicode.h"

namespace lockstep::jinja {
namespace {

bool strips(std::string_view character, std::string_view chars) {
  if (chars.empty()) return is_space(character);
  while (!chars.empty()) {
    const size_t n = char_bytes(chars);
    if (chars.substr(0, n) == character) return true;
    chars.remove_prefix(n);
  }
  return false;
}

int hex_value(std::string_view digits) {
  int value = 0;
  for (const char c : digits) {
    const char l = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
    if (!((l >= '0' && l <= '9') || (l >= 'a' && l <= 'f'))) return -1;
    value = value * 16 + (l <= '9' ? l - '0' : l - 'a' + 10);
  }
  return value;
}

// Reads one escape at the backslash. Returns the number of bytes read; 0 = not a known escape.
size_t read_escape(std::string_view text, std::string& out) {
  static constexpr std::string_view kNames = "ntr\\'\"abfv";
  static constexpr std::string_view kValues = "\n\t\r\\'\"\a\b\f\v";
  const char name = text[1];
  if (name == '\n') return 2;  // continues the line
  const size_t simple = kNames.find(name);
  if (simple != kNames.npos) {
    out.push_back(kValues[simple]);
    return 2;
  }
  if (name >= '0' && name <= '7') {
    size_t end = 1;
    int value = 0;
    while (end < 4 && end < text.size() && text[end] >= '0' && text[end] <= '7') {
      value = value * 8 + (text[end++] - '0');
    }
    utf8::append(static_cast<char32_t>(value), out);
    return end;
  }
  const size_t n_digits = name == 'x' ? 2 : name == 'u' ? 4 : name == 'U' ? 8 : 0;
  if (n_digits == 0 || text.size() < 2 + n_digits) return 0;
  if (n_digits == 8 && text.substr(2, 2) != "00") return 0;  // beyond Unicode
  const int value = hex_value(text.substr(2, n_digits));
  if (value < 0 || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return 0;
  utf8::append(static_cast<char32_t>(value), out);
  return 2 + n_digits;
}

}  // namespace

size_t char_bytes(std::string_view text) {
  const utf8::Step step = utf8::next(text);
  return step.state == utf8::State::kChar ? step.n_bytes : 1;
}

size_t last_char_bytes(std::string_view text) {
  for (size_t n = 2; n <= std::min<size_t>(4, text.size()); ++n) {
    const utf8::Step step = utf8::next(text.substr(text.size() - n));
    if (step.state == utf8::State::kChar && step.n_bytes == n) return n;
  }
  return 1;
}

size_t count_chars(std::string_view text) {
  size_t n = 0;
  for (; !text.empty(); ++n) text.remove_prefix(char_bytes(text));
  return n;
}

size_t prefix_bytes(std::string_view text, size_t n_chars) {
  const size_t n_before = text.size();
  for (; n_chars > 0 && !text.empty(); --n_chars) text.remove_prefix(char_bytes(text));
  return n_before - text.size();
}

std::vector<std::string_view> chars_of(std::string_view text) {
  std::vector<std::string_view> chars;
  while (!text.empty()) {
    chars.push_back(text.substr(0, char_bytes(text)));
    text.remove_prefix(chars.back().size());
  }
  return chars;
}

bool is_space(std::string_view character) {
  const utf8::Step step = utf8::next(character);
  return step.state == utf8::State::kChar && unicode::is_space(step.code_point);
}

std::string_view strip_left(std::string_view text, std::string_view chars) {
  while (!text.empty() && strips(text.substr(0, char_bytes(text)), chars)) {
    text.remove_prefix(char_bytes(text));
  }
  return text;
}

std::string_view strip_right(std::string_view text, std::string_view chars) {
  while (!text.empty()) {
    const size_t n = last_char_bytes(text);
    if (!strips(text.substr(text.size() - n), chars)) break;
    text.remove_suffix(n);
  }
  return text;
}

std::string_view strip(std::string_view text, std::string_view chars) {
  return strip_right(strip_left(text, chars), chars);
}

size_t count(std::string_view text, std::string_view part) {
  if (part.empty()) return count_chars(text) + 1;
  size_t n = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

MarkedText replace(const MarkedText& text, std::string_view from, const MarkedText& to,
                   long limit) {
  MarkedText out;
  std::string_view rest = text.bytes();
  const auto copy = [&](size_t n_bytes) {
    out.append_part(text, rest.substr(0, n_bytes));
    rest.remove_prefix(n_bytes);
  };
  if (from.empty()) {  // inserts `to` between all characters
    for (; limit != 0 && !rest.empty(); --limit) {
      out.append(to);
      copy(char_bytes(rest));
    }
    if (limit != 0) out.append(to);
  } else {
    for (; limit != 0; --limit) {
      const size_t at = rest.find(from);
      if (at == rest.npos) break;
      copy(at);
      out.append(to);
      rest.remove_prefix(from.size());
    }
  }
  copy(rest.size());
  return out;
}

std::vector<std::string_view> split(std::string_view text, std::string_view separator, long limit) {
  std::vector<std::string_view> parts;
  for (; limit != 0; --limit) {
    const size_t at = text.find(separator);
    if (at == text.npos) break;
    parts.push_back(text.substr(0, at));
    text.remove_prefix(at + separator.size());
  }
  parts.push_back(text);
  return parts;
}

std::vector<std::string_view> split_space(std::string_view text, long limit) {
  std::vector<std::string_view> parts;
  for (text = strip_left(text, {}); !text.empty(); text = strip_left(text, {}), --limit) {
    if (limit == 0) {
      parts.push_back(text);
      break;
    }
    size_t end = 0;
    while (end < text.size() && !is_space(text.substr(end))) end += char_bytes(text.substr(end));
    parts.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return parts;
}

std::vector<std::string_view> rsplit(std::string_view text, std::string_view separator,
                                     long limit) {
  std::vector<std::string_view> parts;
  for (; limit != 0; --limit) {
    const size_t at = text.rfind(separator);
    if (at == text.npos) break;
    parts.push_back(text.substr(at + separator.size()));
    text = text.substr(0, at);
  }
  parts.push_back(text);
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> rsplit_space(std::string_view text, long limit) {
  std::vector<std::string_view> parts;
  for (text = strip_right(text, {}); !text.empty(); text = strip_right(text, {}), --limit) {
    if (limit == 0) {
      parts.push_back(text);
      break;
    }
    size_t begin = text.size();
    while (begin > 0) {
      const size_t n = last_char_bytes(text.substr(0, begin));
      if (is_space(text.substr(begin - n, n))) break;
      begin -= n;
    }
    parts.push_back(text.substr(begin));
    text = text.substr(0, begin);
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    size_t end = 0, n_ending = 0;
    while (end < text.size()) {
      const utf8::Step step = utf8::next(text.substr(end));
      if (step.state == utf8::State::kChar && unicode::is_line_end(step.code_point)) {
        n_ending = text.substr(end, 2) == "\r\n" ? 2 : step.n_bytes;
        break;
      }
      end += step.state == utf8::State::kChar ? step.n_bytes : 1;
    }
    lines.push_back(text.substr(0, keep_ends ? end + n_ending : end));
    text.remove_prefix(end + n_ending);
  }
  return lines;
}

std::string unescape(std::string_view literal) {
  std::string out;
  while (!literal.empty()) {
    size_t n = 0;
    if (literal[0] == '\\' && literal.size() > 1) n = read_escape(literal, out);
    if (n == 0) {
      n = 1;
      out.push_back(literal[0]);
    }
    literal.remove_prefix(n);
  }
  return out;
}

}  // namespace lockstep::jinja
