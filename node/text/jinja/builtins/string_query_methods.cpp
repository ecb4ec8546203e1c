// The methods of strings that test or search text.
#include <algorithm>
#include <array>

#include "common/text/utf8.h"
#include "node/text/jinja/builtins/builtins.h"
#include "node/text/jinja/values/letter_case.h"
#include "node/text/jinja/values/strings.h"
#include "node/text/jinja/values/unicode.h"

namespace lockstep::jinja {
namespace {

// The byte span of text[start:stop], where start and stop count characters, as the search methods
// take them. No value = the start lies behind the end.
std::optional<ByteSpan> range_of(std::string_view text, const Value& start, const Value& stop) {
  const auto n = static_cast<int64_t>(count_chars(text));
  const auto clamp = [n](const Value& bound, int64_t fallback) {
    if (!bound.is_integral()) return fallback;
    const int64_t at = bound.as_int();
    return at < 0 ? std::max<int64_t>(at + n, 0) : at;
  };
  const int64_t begin = clamp(start, 0), end = std::min(clamp(stop, n), n);
  if (begin > end) return std::nullopt;
  return ByteSpan{prefix_bytes(text, static_cast<size_t>(begin)),
                  prefix_bytes(text, static_cast<size_t>(end))};
}

Status check_bounds(const Runtime& runtime, const Value& start, const Value& stop) {
  for (const Value* bound : {&start, &stop}) {
    if (!bound->is_integral() && !bound->is_undefined() && !bound->is(Kind::kNone)) {
      return runtime.fail("start and end are integers");
    }
  }
  return Ok{};
}

// startswith, endswith: with a string or a tuple of them
template <bool kFront>
Result<Value> has_affix(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"affix", "start", "end"}, 1));
  TRY([[maybe_unused]] const Ok fits, check_bounds(runtime, bound[1], bound[2]));
  std::vector<Value> options = {bound[0]};
  if (bound[0].is_list() && bound[0].as_list().is_tuple) options = bound[0].as_list().items;
  const std::string_view whole = self.as_string();
  const auto range = range_of(whole, bound[1], bound[2]);
  bool found = false;
  for (const Value& option : options) {
    if (!option.is_string()) return runtime.fail("startswith() takes a string or a tuple of them");
    if (!range) continue;
    const std::string_view text = whole.substr(range->begin, range->end - range->begin);
    found = found ||
            (kFront ? text.starts_with(option.as_string()) : text.ends_with(option.as_string()));
  }
  return Value::boolean(found);
}

// find, rfind, index and rindex: a position in characters. If the text is not found, find and rfind
// give -1, index and rindex fail.
template <bool kFromRight, bool kMustBeThere>
Result<Value> find_text(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"sub", "start", "end"}, 1));
  TRY([[maybe_unused]] const Ok fits, check_bounds(runtime, bound[1], bound[2]));
  if (!bound[0].is_string()) return runtime.fail("find() takes strings");
  const std::string_view whole = self.as_string();
  const auto range = range_of(whole, bound[1], bound[2]);
  size_t at = whole.npos;
  if (range) {
    const std::string_view text = whole.substr(range->begin, range->end - range->begin);
    at = kFromRight ? text.rfind(bound[0].as_string()) : text.find(bound[0].as_string());
  }
  if (at != whole.npos) {
    return Value::integer(static_cast<int64_t>(count_chars(whole.substr(0, range->begin + at))));
  }
  if (kMustBeThere) return runtime.fail("index(): the text does not hold that");
  return Value::integer(-1);
}

Result<Value> count_text(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"sub", "start", "end"}, 1));
  TRY([[maybe_unused]] const Ok fits, check_bounds(runtime, bound[1], bound[2]));
  if (!bound[0].is_string()) return runtime.fail("count() takes strings");
  const std::string_view whole = self.as_string();
  const auto range = range_of(whole, bound[1], bound[2]);
  if (!range) return Value::integer(0);
  const std::string_view text = whole.substr(range->begin, range->end - range->begin);
  return Value::integer(static_cast<int64_t>(count(text, bound[0].as_string())));
}

// Whether the text is not empty and `kIs` is true of every character; kIfEmpty for the empty text.
template <bool (*kIs)(char32_t), bool kIfEmpty = false>
Result<Value> all_chars(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  std::string_view text = self.as_string();
  if (text.empty()) return Value::boolean(kIfEmpty);
  while (!text.empty()) {
    const utf8::Step step = utf8::next(text);
    if (step.state != utf8::State::kChar || !kIs(step.code_point)) return Value::boolean(false);
    text.remove_prefix(step.n_bytes);
  }
  return Value::boolean(true);
}

bool is_ascii(char32_t c) { return c < 0x80; }

template <bool (*kIs)(std::string_view)>
Result<Value> is_text(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  return Value::boolean(kIs(self.as_string()));
}

constexpr std::array<NamedBuiltin, 18> kStringQueryMethods = {{
    {"startswith", has_affix<true>},
    {"endswith", has_affix<false>},
    {"find", find_text<false, false>},
    {"rfind", find_text<true, false>},
    {"index", find_text<false, true>},
    {"rindex", find_text<true, true>},
    {"count", count_text},
    {"isalpha", all_chars<unicode::is_alpha>},
    {"isalnum", all_chars<unicode::is_alphanumeric>},
    {"isdecimal", all_chars<unicode::is_decimal>},
    {"isdigit", all_chars<unicode::is_digit>},
    {"isnumeric", all_chars<unicode::is_numeric>},
    {"isspace", all_chars<unicode::is_space>},
    {"isascii", all_chars<is_ascii, true>},
    {"isprintable", all_chars<unicode::is_printable, true>},
    {"isupper", is_text<is_upper>},
    {"islower", is_text<is_lower>},
    {"istitle", is_text<is_title>},
}};

}  // namespace

std::span<const NamedBuiltin> string_query_methods() { return kStringQueryMethods; }

}  // namespace lockstep::jinja
