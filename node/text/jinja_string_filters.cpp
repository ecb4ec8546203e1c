// Filters that make or read text and single values.
#include <array>
#include <charconv>
#include <cmath>

#include "node/text/jinja_builtins.h"
#include "node/text/jinja_operators.h"
#include "node/text/jinja_strings.h"
#include "node/text/jinja_text.h"

namespace lockstep::jinja {
namespace {

template <std::string (*kMap)(std::string_view)>
Result<Value> map_text(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  TRY(const std::string text, text_of(runtime, self));
  return runtime.string(kMap(text));
}

Result<Value> trim(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"chars"}, 0));
  TRY(const std::string text, text_of(runtime, self));
  const std::string chars = bound[0].is_string() ? bound[0].as_string() : "";
  return runtime.string(std::string(strip(text, chars)));
}

// As Jinja has it, not as str.title(): "it's" becomes "It's".
std::string title_words(std::string_view text) {
  static constexpr std::string_view kBreaks = "-({[<";
  std::string out = lower(text);
  bool begins = true;
  for (size_t i = 0; i < out.size(); ++i) {
    const bool breaks = kBreaks.find(out[i]) != kBreaks.npos || is_space(out.substr(i, 1));
    if (begins) out[i] = upper(out.substr(i, 1))[0];
    begins = breaks;
  }
  return out;
}

Result<Value> replace_filter(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const std::string text, text_of(runtime, self));
  return call_method(runtime, "replace", Value::string(text), args);
}

Result<Value> to_string_filter(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  if (self.is_string()) return self;
  TRY(std::string text, text_of(runtime, self));
  return Value::string(std::move(text));
}

Result<Value> tojson(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound,
      args.bind(runtime, {"ensure_ascii", "indent", "separators", "sort_keys"}, 0));
  if (!bound[2].is_undefined() && !bound[2].is(Kind::kNone)) {
    return runtime.fail("tojson(separators=…) is not supported");
  }
  JsonStyle style;
  style.ensure_ascii = bound[0].truthy();
  if (bound[1].is_integral()) style.indent = bound[1].as_int();
  style.sort_keys = bound[3].truthy();
  std::string text;
  if (!append_json(self, style, text)) {
    return runtime.fail("a " + std::string(kind_name(self)) + " cannot be written as JSON");
  }
  return runtime.string(std::move(text));
}

Result<Value> default_filter(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"default_value", "boolean"}, 0));
  const bool missing = self.is_undefined() || (bound[1].truthy() && !self.truthy());
  if (!missing) return self;
  return args.positional.empty() && bound[0].is_undefined() ? Value::string({}) : bound[0];
}

// A number that the whole of `text` spells, white space around it aside.
template <class Number>
bool parse_number(std::string_view text, Number& out) {
  text = strip(text, {});
  if (text.substr(0, 1) == "+") text.remove_prefix(1);
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), out);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

Result<Value> to_integer(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"default"}, 0));
  if (self.is_undefined()) return runtime.fail(self.undefined_name() + " is undefined");
  if (self.is_integral()) return Value::integer(self.as_int());
  int64_t integer = 0;
  double real = 0;
  if (self.is_string() && parse_number(self.as_string(), integer)) return Value::integer(integer);
  const bool is_real =
      self.is(Kind::kFloat) || (self.is_string() && parse_number(self.as_string(), real));
  if (self.is(Kind::kFloat)) real = self.as_real();
  if (is_real && std::fabs(real) < 9e18) return Value::integer(static_cast<int64_t>(real));
  return bound[0].is_undefined() ? Value::integer(0) : bound[0];
}

Result<Value> to_real(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"default"}, 0));
  if (self.is_undefined()) return runtime.fail(self.undefined_name() + " is undefined");
  if (self.is_number()) return Value::real(self.as_real());
  double real = 0;
  if (self.is_string() && parse_number(self.as_string(), real)) return Value::real(real);
  return bound[0].is_undefined() ? Value::real(0) : bound[0];
}

Result<Value> absolute(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  if (self.is(Kind::kFloat)) return Value::real(std::fabs(self.as_real()));
  if (self.is_integral() && self.as_int() >= 0) return Value::integer(self.as_int());
  return negate(runtime, self);
}

// indent(width=4, first=false, blank=false)
Result<Value> indent(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"width", "first", "blank"}, 0));
  TRY(const std::string text, text_of(runtime, self));
  std::string margin(4, ' ');
  if (bound[0].is_string()) margin = bound[0].as_string();
  if (bound[0].is_integral()) {
    if (bound[0].as_int() > 1000) return runtime.fail("indent() is wider than 1000");
    margin.assign(static_cast<size_t>(std::max<int64_t>(bound[0].as_int(), 0)), ' ');
  }
  const std::string ended = text + "\n";  // outlives `lines`, which point into it
  const auto lines = split_lines(ended);
  TRY([[maybe_unused]] const Ok paid, runtime.make(text.size() + lines.size() * margin.size()));
  std::string out = bound[1].truthy() ? margin : "";
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out += "\n";
    if (i > 0 && (bound[2].truthy() || !lines[i].empty())) out += margin;
    out += lines[i];
  }
  return Value::string(std::move(out));
}

// Nothing is escaped here, so nothing needs to be marked as safe.
Result<Value> safe(Runtime& runtime, const Value& self, const CallArgs& args) {
  return to_string_filter(runtime, self, args);
}

constexpr std::array<NamedBuiltin, 15> kFilters = {{
    {"trim", trim},
    {"upper", map_text<upper>},
    {"lower", map_text<lower>},
    {"capitalize", map_text<capitalize>},
    {"title", map_text<title_words>},
    {"replace", replace_filter},
    {"string", to_string_filter},
    {"tojson", tojson},
    {"default", default_filter},
    {"d", default_filter},
    {"int", to_integer},
    {"float", to_real},
    {"abs", absolute},
    {"indent", indent},
    {"safe", safe},
}};

}  // namespace

const NamedBuiltin* find_string_filter(std::string_view name) { return find_in(kFilters, name); }

}  // namespace lockstep::jinja
