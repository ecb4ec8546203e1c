#include "wire/utf8.h"

#include <cstdint>

namespace lockstep::wire {
namespace {

struct Sequence {
  size_t n_bytes = 0;  // consumed: a whole character, or the ill-formed part
  bool valid = false;
};

// Bounds of the second byte (RFC 3629, section 4); those of later bytes are always 80..BF.
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
  return {1, 1, 0};  // a stray continuation byte or one that never occurs
}

Sequence next_sequence(std::string_view text) {
  const auto first = static_cast<uint8_t>(text[0]);
  if (first < 0x80) return {1, true};
  const Lead lead = classify(first);
  if (lead.n_bytes == 1) return {1, false};
  for (int i = 1; i < lead.n_bytes; ++i) {
    const auto at = static_cast<size_t>(i);
    if (at >= text.size()) return {at, false};
    const auto byte = static_cast<uint8_t>(text[at]);
    const uint8_t low = i == 1 ? lead.low : 0x80;
    const uint8_t high = i == 1 ? lead.high : 0xBF;
    if (byte < low || byte > high) return {at, false};
  }
  return {static_cast<size_t>(lead.n_bytes), true};
}

}  // namespace

bool is_valid_utf8(std::string_view text) {
  while (!text.empty()) {
    const Sequence sequence = next_sequence(text);
    if (!sequence.valid) return false;
    text.remove_prefix(sequence.n_bytes);
  }
  return true;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Sequence sequence = next_sequence(text);
    out += sequence.valid ? text.substr(0, sequence.n_bytes) : std::string_view("\xEF\xBF\xBD");
    text.remove_prefix(sequence.n_bytes);
  }
  return out;
}

}  // namespace lockstep::wire
