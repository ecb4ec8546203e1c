// Filters over single values: numbers, defaults, attributes, JSON.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "node/text/jinja/builtins/builtins.h"
#include "node/text/jinja/builtins/json.h"
#include "node/text/jinja/builtins/operators.h"
#include "node/text/jinja/values/number_text.h"
#include "node/text/jinja/values/strings.h"

namespace lockstep::jinja {
namespace {

// indent: a number of spaces or a string.
Result<std::optional<MarkedText>> json_indent(Runtime& runtime, const Value& indent) {
  if (indent.is_absent()) return std::optional<MarkedText>();
  if (indent.is_string()) {
    if (indent.as_string().size() > 64) return runtime.fail("tojson indents by 64 bytes at most");
    return std::optional(indent.as_text());
  }
  if (!indent.is_integral()) return runtime.fail("tojson(indent=…) takes a number or a string");
  if (indent.as_int() > 64) return runtime.fail("tojson indents by 64 bytes at most");
  const auto n = static_cast<size_t>(std::max<int64_t>(indent.as_int(), 0));
  return std::optional(MarkedText::own(std::string(n, ' ')));
}

// separators: (between items, after keys)
Status read_separators(Runtime& runtime, const Value& separators, JsonStyle& style) {
  if (separators.is_absent()) return Ok{};
  TRY(const auto both, iterate(runtime, separators));
  const auto is_string = [](const Value& value) { return value.is_string(); };
  if (both->items.size() != 2 || !std::all_of(both->items.begin(), both->items.end(), is_string)) {
    return runtime.fail("tojson(separators=…) takes two strings");
  }
  style.item_separator = both->items[0].as_text();
  style.key_separator = both->items[1].as_text();
  if (style.item_separator->size() + style.key_separator->size() > 64) {
    return runtime.fail("tojson takes separators of 64 bytes at most");
  }
  return Ok{};
}

Result<Value> tojson(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound,
      args.bind(runtime, {"ensure_ascii", "indent", "separators", "sort_keys"}, 0));
  JsonStyle style;
  style.ensure_ascii = bound[0].truthy();
  TRY(style.indent, json_indent(runtime, bound[1]));
  TRY([[maybe_unused]] const Ok read, read_separators(runtime, bound[2], style));
  style.sort_keys = bound[3].truthy();
  // A bound on the number of items, each of which has at least 32 bytes of weight, and on the
  // separators around them.
  const uint64_t n_items = self.weight_bytes() / 32;
  uint64_t n_around = style.indent ? style.indent->held_bytes() * self.depth() + 1 : 0;
  if (style.item_separator) {
    n_around += style.item_separator->held_bytes() + style.key_separator->held_bytes();
  }
  TRY([[maybe_unused]] const Ok paid, runtime.make(n_items * n_around));
  MarkedText text;
  if (!append_json(self, style, text)) {
    return runtime.fail("a " + std::string(kind_name(self)) + " cannot be written as JSON");
  }
  return runtime.string(std::move(text));
}

Result<Value> default_filter(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"default_value", "boolean"}, 0));
  const bool missing = self.is_undefined() || (bound[1].truthy() && !self.truthy());
  if (!missing) return self;
  return args.positional.empty() && bound[0].is_undefined() ? Value::own_string({}) : bound[0];
}

// Reads digits as Python does: single underscores may stand between them. False = not digits.
bool plain_digits(std::string_view text, std::string& out) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out.push_back(text[i]);
      continue;
    }
    const bool between = i > 0 && i + 1 < text.size() && std::isalnum(text[i - 1]) != 0 &&
                         std::isalnum(text[i + 1]) != 0;
    if (!between) return false;
  }
  return !out.empty();
}

// The number that the whole of `text` spells, without the white space around it.
std::optional<double> parse_real(std::string_view text) {
  text = strip(text, {});
  const bool negative = text.substr(0, 1) == "-";
  if (negative || text.substr(0, 1) == "+") text.remove_prefix(1);
  std::string digits;
  if (!plain_digits(text, digits) || digits[0] == '-') return std::nullopt;
  double out = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), out);
  if (parsed.ptr != digits.data() + digits.size()) return std::nullopt;
  if (parsed.ec == std::errc::result_out_of_range) {  // as in Python: infinite, or zero
    out = digits.find("e-") != digits.npos || digits.find("E-") != digits.npos ? 0 : HUGE_VAL;
  } else if (parsed.ec != std::errc()) {
    return std::nullopt;
  }
  return negative ? -out : out;
}

enum class Parse { kGood, kNotANumber, kTooLarge };

Parse parse_integer(std::string_view text, int base, int64_t& out) {
  text = strip(text, {});
  const bool negative = text.substr(0, 1) == "-";
  if (negative || text.substr(0, 1) == "+") text.remove_prefix(1);
  if (text.size() > 2 && text[0] == '0') {
    const char letter = static_cast<char>(text[1] | 0x20);
    const int named = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
    if (named != 0 && (base == named || base == 0)) {
      base = named;
      text.remove_prefix(text[2] == '_' ? 3 : 2);
    }
  }
  if (base == 0) base = 10;
  std::string digits;
  if (!plain_digits(text, digits) || digits[0] == '-') return Parse::kNotANumber;
  const std::string signed_digits = (negative ? "-" : "") + digits;
  const char* end = signed_digits.data() + signed_digits.size();
  const auto parsed = std::from_chars(signed_digits.data(), end, out, base);
  if (parsed.ptr != end || parsed.ec == std::errc::invalid_argument) return Parse::kNotANumber;
  return parsed.ec == std::errc() ? Parse::kGood : Parse::kTooLarge;
}

// int(default=0, base=10)
Result<Value> to_integer(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"default", "base"}, 0));
  if (self.is_undefined()) return runtime.fail(self.undefined_name() + " is undefined");
  const Value fallback = bound[0].is_undefined() ? Value::integer(0) : bound[0];
  if (self.is_integral()) return Value::integer(self.as_int());
  std::optional<double> real;
  if (self.is_string()) {
    const int64_t base = bound[1].is_integral() ? bound[1].as_int() : 10;
    const bool has_base = base == 0 || (base >= 2 && base <= 36);
    int64_t integer = 0;
    const Parse parsed = has_base ? parse_integer(self.as_string(), static_cast<int>(base), integer)
                                  : Parse::kNotANumber;
    if (parsed == Parse::kGood) return Value::integer(integer);
    if (parsed == Parse::kTooLarge) return runtime.fail("int: the number is too large");
    real = parse_real(self.as_string());
    if (real && !std::isfinite(*real)) return fallback;
  } else if (self.is(Kind::kFloat) && !std::isnan(self.as_real())) {
    real = self.as_real();
  }
  if (!real || std::isnan(*real)) return fallback;
  if (std::fabs(*real) >= 9e18) return runtime.fail("int: the number is too large");
  return Value::integer(static_cast<int64_t>(*real));
}

// float(default=0.0)
Result<Value> to_real(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"default"}, 0));
  if (self.is_undefined()) return runtime.fail(self.undefined_name() + " is undefined");
  if (self.is_number()) return Value::real(self.as_real());
  if (self.is_string()) {
    if (const auto real = parse_real(self.as_string())) return Value::real(*real);
  }
  return bound[0].is_undefined() ? Value::real(0) : bound[0];
}

Result<Value> absolute(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  if (self.is(Kind::kFloat)) return Value::real(std::fabs(self.as_real()));
  if (self.is_integral() && self.as_int() >= 0) return Value::integer(self.as_int());
  return negate(runtime, self);
}

// round(precision=0, method="common")
Result<Value> round_filter(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"precision", "method"}, 0));
  if (!self.is_number()) return runtime.fail("round takes a number");
  const int64_t precision = bound[0].is_integral() ? bound[0].as_int() : 0;
  if (precision < -300 || precision > 300) return runtime.fail("round: too precise");
  const std::string method = bound[1].is_string() ? bound[1].as_string() : "common";
  const double value = self.as_real();
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (method == "ceil") return Value::real(std::ceil(value * scale) / scale);
  if (method == "floor") return Value::real(std::floor(value * scale) / scale);
  if (method != "common") return runtime.fail("round: the method is common, ceil or floor");
  if (self.is_integral() && precision >= 0) return Value::integer(self.as_int());
  if (precision < 0) {
    const double rounded = std::nearbyint(value * scale) / scale;
    return self.is_integral() ? Value::integer(static_cast<int64_t>(rounded))
                              : Value::real(rounded);
  }
  if (!std::isfinite(value)) return self;
  // The decimal nearest to the exact value, half to even, as Python rounds.
  const auto text = real_digits(value, 'f', static_cast<int>(precision), false);
  const double rounded = std::strtod(text.c_str(), nullptr);
  return Value::real(std::signbit(value) ? -rounded : rounded);
}

// attr(name): an attribute, never an item.
Result<Value> attr(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"name"}, 1));
  TRY(const MarkedText name, text_of(runtime, bound[0]));
  if (self.is_dict() && !find_method(self, name.bytes())) return Value::undefined(name.bytes());
  return get_attribute(runtime, self, name.bytes());
}

// filesizeformat(binary=false)
Result<Value> filesizeformat(Runtime& runtime, const Value& self, const CallArgs& args) {
  TRY(const auto bound, args.bind(runtime, {"binary"}, 0));
  TRY(const Value size, to_real(runtime, self, {}));
  if (!self.is_number() && !self.is_string()) return runtime.fail("filesizeformat takes a number");
  const bool binary = bound[0].truthy();
  const double base = binary ? 1024 : 1000, n_bytes = size.as_real();
  if (n_bytes == 1) return Value::own_string("1 Byte");
  if (n_bytes < base) {
    return Value::own_string(std::to_string(static_cast<int64_t>(n_bytes)) + " Bytes");
  }
  std::string prefix;
  double unit = base;
  for (const char letter : std::string_view("kMGTPEZY")) {
    unit *= base;
    prefix = letter;
    if (n_bytes < unit) break;
  }
  if (binary) prefix = (prefix == "k" ? "K" : prefix) + "i";
  return Value::own_string(real_digits(base * n_bytes / unit, 'f', 1, false) + " " + prefix + "B");
}

constexpr std::array<NamedBuiltin, 9> kValueFilters = {{
    {"tojson", tojson},
    {"default", default_filter},
    {"d", default_filter},
    {"int", to_integer},
    {"float", to_real},
    {"abs", absolute},
    {"round", round_filter},
    {"attr", attr},
    {"filesizeformat", filesizeformat},
}};

}  // namespace

std::span<const NamedBuiltin> value_filters() { return kValueFilters; }

}  // namespace lockstep::jinja
