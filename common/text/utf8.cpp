#include "common/text/utf8.h"

#include <utf8.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <iterator>

namespace lockstep::utf8 {
namespace {

constexpr size_t kMaxBytes = 4;

// The length that the first byte of a character beyond ASCII announces; 0 = no character begins so.
size_t announced_bytes(uint8_t first) {
  const auto n_ones = static_cast<size_t>(std::countl_one(first));
  return n_ones >= 2 && n_ones <= kMaxBytes ? n_ones : 0;
}

// Whether some bytes complete `prefix` to a character of n_bytes. If any do, then either the lowest
// continuation bytes do or the highest ones.
bool has_completion(std::string_view prefix, size_t n_bytes) {
  for (const char filler : {'\x80', '\xBF'}) {
    std::array<char, kMaxBytes> bytes;
    bytes.fill(filler);
    std::ranges::copy(prefix, bytes.begin());
    if (::utf8::is_valid(bytes.data(), bytes.data() + n_bytes)) return true;
  }
  return false;
}

// What `text` begins with, where that is no character; n_bytes is what its first byte announces.
Step ill_formed(std::string_view text, size_t n_bytes) {
  size_t n_good = 0;
  while (n_good < std::min(n_bytes, text.size()) &&
         has_completion(text.substr(0, n_good + 1), n_bytes)) {
    ++n_good;
  }
  if (n_good == text.size()) return {State::kIncomplete, n_good, 0};
  return {State::kInvalid, std::max<size_t>(n_good, 1), 0};
}

}  // namespace

Step next(std::string_view text) {
  const auto first = static_cast<uint8_t>(text[0]);
  if (first < 0x80) return {State::kChar, 1, first};
  const size_t n_bytes = announced_bytes(first);
  const char* at = text.data();
  if (text.size() >= n_bytes && n_bytes != 0 && ::utf8::is_valid(at, at + n_bytes)) {
    return {State::kChar, n_bytes, ::utf8::unchecked::next(at)};
  }
  return ill_formed(text, n_bytes);
}

bool is_valid(std::string_view text) { return ::utf8::is_valid(text.begin(), text.end()); }

void append(char32_t code_point, std::string& out) {
  ::utf8::unchecked::append(static_cast<uint32_t>(code_point), std::back_inserter(out));
}

std::string replace_invalid(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (true) {
    const std::string_view good(text.begin(), ::utf8::find_invalid(text.begin(), text.end()));
    out += good;
    text.remove_prefix(good.size());
    if (text.empty()) return out;
    out += kReplacement;
    text.remove_prefix(next(text).n_bytes);
  }
}

}  // namespace lockstep::utf8
