// Filters that make or measure text.
#include <algorithm>
#include <array>

#include "common/text/utf8.h"
#include "node/text/jinja/builtins/builtins.h"
#include "node/text/jinja/builtins/format.h"
#include "node/text/jinja/builtins/html.h"
#include "node/text/jinja/builtins/operators.h"
#include "node/text/jinja/values/letter_case.h"
#include "node/text/jinja/values/strings.h"
#include "node/text/jinja/values/unicode.h"

namespace lockstep::jinja {
namespace {

template <MarkedText (*kMap)(const MarkedText&)>
Result<Value> map_text(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  TRY(const MarkedText text, text_of(runtime, self));
  return runtime.string(kMap(text));
}

// The value itself, or str() of it.
Result<Value> as_string_value(Runtime& runtime, const Value& self) {
  if (self.is_string()) return self;
  TRY(MarkedText text, text_of(runtime, self));
  return Value::string(std::move(text));
}

Result<Value> trim(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"chars"}, 0));
  TRY(const MarkedText text, text_of(runtime, self));
  const bool absent = bound[0].is_absent();
  if (!absent && !bound[0].is_string()) return runtime.fail("trim takes a string");
  if (!absent && bound[0].as_string().empty()) return runtime.string(text);
  return runtime.string(text.part(strip(text.bytes(), absent ? "" : bound[0].as_string())));
}

// replace(old, new, count): self, old and new as strings.
Result<Value> replace_filter(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"old", "new", "count"}, 2));
  TRY(MarkedText text, text_of(runtime, self));
  TRY(MarkedText from, text_of(runtime, bound[0]));
  TRY(MarkedText to, text_of(runtime, bound[1]));
  CallArgs plain;
  plain.positional = {Value::string(std::move(from)), Value::string(std::move(to))};
  if (bound[2].is_integral()) plain.positional.push_back(bound[2]);
  return call_method(runtime, "replace", Value::string(std::move(text)), plain);
}

Result<Value> to_string_filter(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  return as_string_value(runtime, self);
}

// center(width=80)
Result<Value> center(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"width"}, 0));
  TRY(const Value text, as_string_value(runtime, self));
  CallArgs width;
  width.positional = {bound[0].is_undefined() ? Value::integer(80) : bound[0]};
  return call_method(runtime, "center", text, width);
}

Result<MarkedText> margin_of(const Runtime& runtime, const Value& width) {
  if (width.is_string()) return width.as_text();
  if (width.is_undefined()) return MarkedText::own("    ");
  if (!width.is_integral()) return runtime.fail("indent takes a number or a string");
  if (width.as_int() > 1000) return runtime.fail("indent() is wider than 1000");
  return MarkedText::own(
      std::string(static_cast<size_t>(std::max<int64_t>(width.as_int(), 0)), ' '));
}

// indent(width=4, first=false, blank=false)
Result<Value> indent(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"width", "first", "blank"}, 0));
  if (!self.is_string()) return runtime.fail("indent takes a string");
  TRY(MarkedText text, text_of(runtime, self));
  TRY(const MarkedText margin, margin_of(runtime, bound[0]));
  text.append_own("\n");  // so that the last line is handled as well
  const auto lines = split_lines(text.bytes());
  uint64_t n_margins = 0;
  if (__builtin_mul_overflow(lines.size() + 1, margin.held_bytes() + sizeof(ByteSpan),
                             &n_margins)) {
    n_margins = UINT64_MAX / 2;
  }
  TRY([[maybe_unused]] const Ok paid, runtime.make(text.held_bytes() + n_margins));
  MarkedText out;
  if (bound[1].truthy()) out.append(margin);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.append_own("\n");
    if (i > 0 && (bound[2].truthy() || !lines[i].empty())) out.append(margin);
    out.append_part(text, lines[i]);
  }
  return Value::string(std::move(out));
}

// truncate(length=255, killwords=false, end="...", leeway=5)
Result<Value> truncate(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"length", "killwords", "end", "leeway"}, 0));
  if (!self.is_string()) return runtime.fail("truncate takes a string");
  const auto number = [](const Value& given, int64_t fallback) {
    return given.is_integral() ? given.as_int() : fallback;
  };
  const int64_t length = number(bound[0], 255), leeway = number(bound[3], 5);
  MarkedText end = MarkedText::own("...");
  if (bound[2].is_string()) end = bound[2].as_text();
  const auto n_end = static_cast<int64_t>(count_chars(end.bytes()));
  if (length < n_end || leeway < 0) return runtime.fail("truncate: too short for its end");
  const std::string_view whole = self.as_string();
  const auto n_chars = static_cast<int64_t>(count_chars(whole));
  if (n_chars <= length || n_chars - length <= leeway) return self;
  std::string_view kept = whole.substr(0, prefix_bytes(whole, static_cast<size_t>(length - n_end)));
  if (!bound[1].truthy() && kept.rfind(' ') != kept.npos) kept = kept.substr(0, kept.rfind(' '));
  MarkedText out = self.as_text().part(kept);
  out.append(self.is_safe() ? escape_text(end) : end);
  return runtime.string(std::move(out));
}

// wordcount: the number of runs of letters, digits and underscores.
Result<Value> wordcount(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  TRY(const MarkedText text, text_of(runtime, self));
  int64_t n = 0;
  bool in_word = false;
  for (std::string_view rest = text.bytes(); !rest.empty(); rest.remove_prefix(char_bytes(rest))) {
    const utf8::Step step = utf8::next(rest);
    const bool is_word = step.state == utf8::State::kChar &&
                         (step.code_point == U'_' || unicode::is_alphanumeric(step.code_point));
    n += is_word && !in_word ? 1 : 0;
    in_word = is_word;
  }
  return Value::integer(n);
}

// '%s of %d' | format(a, b) or '%(a)s' | format(a=…)
Result<Value> format_filter(Runtime& runtime, const Value& self, const CallArgs& args) {
  if (!args.positional.empty() && !args.named.empty()) {
    return runtime.fail("format takes positional or named values, not both");
  }
  TRY(const Value format, as_string_value(runtime, self));
  if (args.named.empty()) {
    TRY(const Value values, runtime.list(args.positional, true));
    return format_printf(runtime, format, values);
  }
  std::vector<std::pair<Value, Value>> named;
  named.reserve(args.named.size());
  for (const auto& [name, value] : args.named) named.emplace_back(args.key_of(name), value);
  TRY(const Value values, runtime.dict(std::move(named)));
  return format_printf(runtime, format, values);
}

constexpr std::array<NamedBuiltin, 12> kStringFilters = {{
    {"trim", trim},
    {"upper", map_text<upper>},
    {"lower", map_text<lower>},
    {"capitalize", map_text<capitalize>},
    {"title", map_text<title_words>},
    {"replace", replace_filter},
    {"string", to_string_filter},
    {"center", center},
    {"indent", indent},
    {"truncate", truncate},
    {"wordcount", wordcount},
    {"format", format_filter},
}};

}  // namespace

std::span<const NamedBuiltin> string_filters() { return kStringFilters; }

}  // namespace lockstep::jinja
