#include "node/text/jinja/values/unicode.h"

#include <algorithm>
#include <iterator>

#include "node/text/jinja/values/unicode_tables.h"

namespace lockstep::jinja::unicode {
namespace {

// The code points at which a class begins, ends, begins, …, computed from its steps.
template <size_t kSize>
constexpr std::array<int32_t, kSize> boundaries(const int32_t (&steps)[kSize]) {
  std::array<int32_t, kSize> out{};
  int32_t at = 0;
  for (size_t i = 0; i < kSize; ++i) out[i] = at += steps[i];
  return out;
}

constexpr auto kAlpha = boundaries(kAlphaSteps);
constexpr auto kDecimal = boundaries(kDecimalSteps);
constexpr auto kDigit = boundaries(kDigitSteps);
constexpr auto kNumeric = boundaries(kNumericSteps);
constexpr auto kUpper = boundaries(kUpperSteps);
constexpr auto kLower = boundaries(kLowerSteps);
constexpr auto kTitle = boundaries(kTitleSteps);
constexpr auto kCased = boundaries(kCasedSteps);
constexpr auto kCaseIgnorable = boundaries(kCaseIgnorableSteps);
constexpr auto kPrintable = boundaries(kPrintableSteps);

template <size_t kSize>
bool holds(const std::array<int32_t, kSize>& boundaries, char32_t c) {
  const auto* after =
      std::upper_bound(boundaries.begin(), boundaries.end(), static_cast<int32_t>(c));
  return (after - boundaries.begin()) % 2 == 1;
}

template <size_t kRuns, size_t kExpansions>
Mapped map(const CaseRun (&runs)[kRuns], const CaseExpansion (&expansions)[kExpansions],
           char32_t character) {
  const auto c = static_cast<int32_t>(character);
  const auto* several = std::lower_bound(
      std::begin(expansions), std::end(expansions), c,
      [](const CaseExpansion& expansion, int32_t value) { return expansion.from < value; });
  if (several != std::end(expansions) && several->from == c) {
    return {static_cast<char32_t>(several->to[0]), static_cast<char32_t>(several->to[1]),
            static_cast<char32_t>(several->to[2])};
  }
  const auto* run =
      std::lower_bound(std::begin(runs), std::end(runs), c,
                       [](const CaseRun& r, int32_t value) { return r.last < value; });
  const bool changes =
      run != std::end(runs) && run->first <= c && (c - run->first) % run->stride == 0;
  return {static_cast<char32_t>(changes ? c + run->difference : c), 0, 0};
}

}  // namespace

bool is_alpha(char32_t c) { return holds(kAlpha, c); }
bool is_decimal(char32_t c) { return holds(kDecimal, c); }
bool is_digit(char32_t c) { return holds(kDigit, c); }
bool is_numeric(char32_t c) { return holds(kNumeric, c); }
bool is_alphanumeric(char32_t c) {
  return is_alpha(c) || is_decimal(c) || is_digit(c) || is_numeric(c);
}
bool is_upper(char32_t c) { return holds(kUpper, c); }
bool is_lower(char32_t c) { return holds(kLower, c); }
bool is_title(char32_t c) { return holds(kTitle, c); }
bool is_cased(char32_t c) { return holds(kCased, c); }
bool is_case_ignorable(char32_t c) { return holds(kCaseIgnorable, c); }
bool is_printable(char32_t c) { return holds(kPrintable, c); }

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

bool is_line_end(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

Mapped to_upper(char32_t c) { return map(kUpperRuns, kUpperExpansions, c); }
Mapped to_title(char32_t c) { return map(kTitleRuns, kTitleExpansions, c); }
Mapped to_fold(char32_t c) { return map(kFoldRuns, kFoldExpansions, c); }

Mapped to_lower(char32_t c) { return map(kLowerRuns, kLowerExpansions, c); }

}  // namespace lockstep::jinja::unicode
