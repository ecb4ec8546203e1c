#include "wire/codec/utf8.h"

#include <cstdint>

namespace lockstep::wire {
namespace {

// The bounds of the second byte (RFC 3629, section 4). The bounds of later bytes are always 80..BF.
struct Lead {
  int n_bytes;
  uint8_t low, high;
};

Lead classify(uint8_t first) {
  if (first >= 0xC2 && first <= 0xDF) return {2, 0x80, 0xBF};
  if (first == 0xE0) return {3, 0xA0, 0xBF};
  if (first == 0xED) return {3, 0x80, 0x9F};
  if (first >= 0xE1 && first <= 0xEF) return {3, 0x80, 0xBF};
  if (first == 0xF0) return {4, 0x90, 0xBF};
  if (first >= 0xF1 && first <= 0xF3) return {4, 0x80, 0xBF};
  if (first == 0xF4) return {4, 0x80, 0x8F};
  return {1, 1, 0};  // a stray continuation byte, or a byte that UTF-8 never uses
}

}  // namespace

Utf8Step next_character(std::string_view text) {
  const auto first = static_cast<uint8_t>(text[0]);
  if (first < 0x80) return {.n_bytes = 1, .valid = true};
  const Lead lead = classify(first);
  if (lead.n_bytes == 1) return {.n_bytes = 1};
  for (int i = 1; i < lead.n_bytes; ++i) {
    const auto at = static_cast<size_t>(i);
    if (at >= text.size()) return {.n_bytes = at, .incomplete = true};
    const auto byte = static_cast<uint8_t>(text[at]);
    const uint8_t low = i == 1 ? lead.low : 0x80;
    const uint8_t high = i == 1 ? lead.high : 0xBF;
    if (byte < low || byte > high) return {.n_bytes = at};
  }
  return {.n_bytes = static_cast<size_t>(lead.n_bytes), .valid = true};
}

bool is_valid_utf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Step step = next_character(text);
    if (!step.valid) return false;
    text.remove_prefix(step.n_bytes);
  }
  return true;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = next_character(text);
    out += step.valid ? text.substr(0, step.n_bytes) : std::string_view("\xEF\xBF\xBD");
    text.remove_prefix(step.n_bytes);
  }
  return out;
}

}  // namespace lockstep::wire
