#include "node/text/jinja/values/number_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "node/text/jinja/values/strings.h"

namespace lockstep::jinja {

std::string integer_digits(int64_t value, char type, bool alternate) {
  auto rest = value < 0 ? -static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  const unsigned base = type == 'b' ? 2 : type == 'o' ? 8 : type == 'x' || type == 'X' ? 16 : 10;
  const char* letters = type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string digits;
  do {
    digits.push_back(letters[rest % base]);
    rest /= base;
  } while (rest > 0);
  if (alternate && base != 10) {
    digits.push_back(type);
    digits.push_back('0');
  }
  std::reverse(digits.begin(), digits.end());
  return digits;
}

std::string real_digits(double value, char type, int precision, bool alternate) {
  const bool capital = type == 'E' || type == 'F' || type == 'G';
  if (std::isnan(value)) return capital ? "NAN" : "nan";
  if (std::isinf(value)) return capital ? "INF" : "inf";
  const std::string format = std::string("%") + (alternate ? "#" : "") + ".*" + type;
  const int n = std::snprintf(nullptr, 0, format.c_str(), precision, std::fabs(value));
  std::string digits(static_cast<size_t>(std::max(n, 0)) + 1, '\0');
  std::snprintf(digits.data(), digits.size(), format.c_str(), precision, std::fabs(value));
  digits.pop_back();
  return digits;
}

std::string real_to_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 32> buffer{};
  const double size = std::fabs(value);
  const bool plain = size == 0 || (size >= 1e-4 && size < 1e16);
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 plain ? std::chars_format::fixed : std::chars_format::scientific);
  std::string text(buffer.data(), end.ptr);
  if (plain && text.find('.') == text.npos) text += ".0";
  return text;
}

std::string group_digits(std::string_view digits, char separator) {
  const size_t n_whole = std::min(digits.find_first_not_of("0123456789"), digits.size());
  std::string out;
  for (size_t i = 0; i < n_whole; ++i) {
    if (i > 0 && (n_whole - i) % 3 == 0) out.push_back(separator);
    out.push_back(digits[i]);
  }
  return out += digits.substr(n_whole);
}

std::string_view sign_of(bool negative, char wanted) {
  if (negative) return "-";
  return wanted == '+' ? "+" : wanted == ' ' ? " " : "";
}

MarkedText pad(const MarkedText& text, size_t width, const MarkedText& fill, char align,
               size_t n_head) {
  const size_t n_chars = count_chars(text.bytes());
  if (n_chars >= width) return text;
  const size_t n_missing = width - n_chars;
  const size_t n_before = align == '<' ? 0 : align == '^' ? n_missing / 2 : n_missing;
  MarkedText out;
  if (align == '=') out.append_range(text, 0, n_head);
  for (size_t i = 0; i < n_before; ++i) out.append(fill);
  const size_t n_done = align == '=' ? n_head : 0;
  out.append_range(text, n_done, text.size() - n_done);
  for (size_t i = n_before; i < n_missing; ++i) out.append(fill);
  return out;
}

}  // namespace lockstep::jinja
