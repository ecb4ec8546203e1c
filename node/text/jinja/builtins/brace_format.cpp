// str.format() of Python.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "node/text/jinja/builtins/format.h"
#include "node/text/jinja/builtins/html.h"
#include "node/text/jinja/builtins/operators.h"
#include "node/text/jinja/values/number_text.h"
#include "node/text/jinja/values/strings.h"

namespace lockstep::jinja {
namespace {

constexpr std::string_view kDigits = "0123456789";

// [[fill]align][sign][#][0][width][grouping][.precision][type]
struct Spec {
  MarkedText fill = MarkedText::own(" ");
  char align = 0, sign = 0, grouping = 0, type = 0;
  bool alternate = false, zero = false;
  int64_t width = 0, precision = -1;
};

class Braces {
 public:
  Braces(Runtime& runtime, const Value& format, const CallArgs& args)
      : runtime_(runtime), format_(format), args_(args) {}

  Result<Value> run();

 private:
  // The text with its fields filled in. `level` counts fields inside the specs of other fields.
  Result<MarkedText> fill(const MarkedText& format, int level);
  Result<MarkedText> field(const MarkedText& text, int level);
  Result<Value> find(std::string_view name);
  Result<Value> first(std::string_view name);
  Result<Spec> read_spec(const MarkedText& text) const;
  Result<MarkedText> apply(const Spec& spec, const Value& value) const;
  Result<MarkedText> integer(const Spec& spec, int64_t value, size_t& n_sign) const;
  Result<MarkedText> real(const Spec& spec, double value, size_t& n_sign) const;
  Error fail(const std::string& message) const { return runtime_.fail("format(): " + message); }

  Runtime& runtime_;
  const Value& format_;
  const CallArgs& args_;
  size_t n_auto_ = 0;
  bool numbered_ = false;
};

bool take_number(std::string_view& text, int64_t& out) {
  const size_t n = std::min(text.find_first_not_of(kDigits), text.size());
  if (n == 0 || n > 9) return false;
  std::from_chars(text.data(), text.data() + n, out);
  text.remove_prefix(n);
  return true;
}

bool is_align(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

Result<Spec> Braces::read_spec(const MarkedText& text) const {
  Spec spec;
  std::string_view rest = text.bytes();
  const auto take = [&rest](std::string_view any) {
    if (rest.empty() || any.find(rest[0]) == any.npos) return '\0';
    const char c = rest[0];
    rest.remove_prefix(1);
    return c;
  };
  bool has_fill = false;
  const size_t n_fill = rest.empty() ? 0 : char_bytes(rest);
  if (rest.size() > n_fill && is_align(rest[n_fill])) {
    spec.fill = text.part(rest.substr(0, n_fill));
    rest.remove_prefix(n_fill);
    has_fill = true;
  }
  spec.align = take("<>^=");
  spec.sign = take("+- ");
  spec.alternate = take("#") != 0;
  spec.zero = rest.substr(0, 1) == "0";
  if (spec.zero && !has_fill) spec.fill = MarkedText::own("0");
  take_number(rest, spec.width);
  spec.grouping = take(",_");
  if (take(".") != 0 && !take_number(rest, spec.precision)) return fail("a precision is missing");
  spec.type = take("bcdeEfFgGosxX%");
  if (!rest.empty()) return fail("'" + text.bytes() + "' is no format that is known");
  if (spec.width > kMaxFormatWidth || spec.precision > kMaxPrecision) return fail("too wide");
  return spec;
}

Result<MarkedText> Braces::integer(const Spec& spec, int64_t value, size_t& n_sign) const {
  const char type = spec.type == 0 ? 'd' : spec.type;
  if (spec.precision >= 0 || type == 'c' || type == 's' || (spec.grouping != 0 && type != 'd')) {
    return fail("an integer does not take this format");
  }
  std::string digits = integer_digits(value, type, spec.alternate);
  if (spec.grouping != 0) digits = group_digits(digits, spec.grouping);
  const std::string sign(sign_of(value < 0, spec.sign));
  n_sign = sign.size();
  return MarkedText::own(sign + digits);
}

Result<MarkedText> Braces::real(const Spec& spec, double value, size_t& n_sign) const {
  std::string digits;
  if (spec.type == 0) {
    if (spec.precision >= 0) return fail("a precision needs a type, as in .2f");
    digits = real_to_text(std::fabs(value));
  } else if (std::string_view("eEfFgG%").find(spec.type) == std::string_view::npos) {
    return fail("a float does not take this format");
  } else {
    const bool percent = spec.type == '%';
    digits = real_digits(percent ? value * 100 : value, percent ? 'f' : spec.type,
                         spec.precision < 0 ? 6 : static_cast<int>(spec.precision), spec.alternate);
    if (percent) digits += '%';
  }
  if (spec.grouping != 0) digits = group_digits(digits, spec.grouping);
  const std::string sign(sign_of(std::signbit(value) && !std::isnan(value), spec.sign));
  n_sign = sign.size();
  return MarkedText::own(sign + digits);
}

Result<MarkedText> Braces::apply(const Spec& spec, const Value& value) const {
  MarkedText text;
  size_t n_sign = 0;
  char align = spec.align;
  if (value.is_number()) {
    const bool as_real = !value.is_integral() || std::string_view("eEfFgG%").find(spec.type) < 7;
    if (as_real && (spec.type != 0 || !value.is_integral())) {
      TRY(text, real(spec, value.as_real(), n_sign));
    } else {
      TRY(text, integer(spec, value.as_int(), n_sign));
    }
    if (align == 0) align = spec.zero ? '=' : '>';
  } else {
    const bool fits = value.is_string() && (spec.type == 0 || spec.type == 's') && spec.sign == 0 &&
                      !spec.alternate && spec.grouping == 0 && align != '=';
    if (!fits) return fail("a " + std::string(kind_name(value)) + " does not take this format");
    text = value.as_text();
    if (spec.precision >= 0) {
      text = text.substr(0, prefix_bytes(text.bytes(), static_cast<size_t>(spec.precision)));
    }
    if (align == 0) align = '<';
  }
  const auto width = static_cast<size_t>(spec.width);
  TRY([[maybe_unused]] const Ok paid, runtime_.make(text.held_bytes() + width * spec.fill.size()));
  return pad(text, width, spec.fill, align, n_sign);
}

Result<Value> Braces::first(std::string_view name) {
  int64_t index = 0;
  std::string_view rest = name;
  const bool is_number = take_number(rest, index) && rest.empty();
  if (name.empty() || is_number) {
    if (name.empty() && numbered_) return fail("{} after {0}");
    if (is_number && n_auto_ > 0) return fail("{0} after {}");
    numbered_ = numbered_ || is_number;
    const auto at = name.empty() ? n_auto_++ : static_cast<size_t>(index);
    if (at >= args_.positional.size()) return fail("not enough values");
    return args_.positional[at];
  }
  for (const auto& [given, value] : args_.named) {
    if (given == name) return value;
  }
  return fail("there is no '" + std::string(name) + "'");
}

// name.attribute[index]…
Result<Value> Braces::find(std::string_view name) {
  const size_t n_first = std::min(name.find_first_of(".["), name.size());
  TRY(Value value, first(name.substr(0, n_first)));
  std::string_view rest = name.substr(n_first);
  while (!rest.empty()) {
    const bool is_index = rest[0] == '[';
    const size_t end =
        is_index ? rest.find(']') : std::min(rest.find_first_of(".[", 1), rest.size());
    if ((!is_index && rest[0] != '.') || end == rest.npos || end == 1) {
      return fail("'" + std::string(name) + "' is no field");
    }
    std::string_view part = rest.substr(1, end - 1);
    rest.remove_prefix(is_index ? end + 1 : end);
    int64_t index = 0;
    std::string_view digits = part;
    if (is_index && take_number(digits, index) && digits.empty()) {
      TRY(value, get_item(runtime_, value, Value::integer(index)));
    } else if (is_index) {
      TRY(value, get_item(runtime_, value, Value::own_string(std::string(part))));
    } else {
      TRY(value, get_attribute(runtime_, value, part));
    }
  }
  return value;
}

// The text between two braces: name[!conversion][:spec]
Result<MarkedText> Braces::field(const MarkedText& text, int level) {
  const std::string& bytes = text.bytes();
  const size_t colon = std::min(bytes.find(':'), bytes.size());
  std::string_view name = std::string_view(bytes).substr(0, colon);
  const size_t bang = name.rfind('!');
  char conversion = 0;
  if (bang != name.npos) {
    if (bang + 2 != name.size() || (name[bang + 1] != 'r' && name[bang + 1] != 's')) {
      return fail("only !r and !s are known");
    }
    conversion = name[bang + 1];
    name = name.substr(0, bang);
  }
  TRY(Value value, find(name));
  if (conversion != 0) {
    TRY([[maybe_unused]] const Ok paid, runtime_.make(value.weight_bytes()));
    value = Value::string(conversion == 'r' ? to_repr(value) : to_text(value));
  }
  MarkedText spec;
  if (colon < bytes.size()) {
    TRY(spec, fill(text.substr(colon + 1), level + 1));
  }
  MarkedText out;
  if (spec.empty()) {
    TRY(out, text_of(runtime_, value));
  } else {
    TRY(const Spec parsed, read_spec(spec));
    TRY(out, apply(parsed, value));
  }
  return format_.is_safe() && !value.is_safe() ? escape_text(out) : out;
}

Result<MarkedText> Braces::fill(const MarkedText& format, int level) {
  if (level > 2) return fail("fields are nested too deep");
  MarkedText out;
  std::string_view rest = format.bytes();
  while (!rest.empty()) {
    const size_t at = rest.find_first_of("{}");
    out.append_part(format, rest.substr(0, at));
    if (at == rest.npos) break;
    if (rest.substr(at, 2) == "{{" || rest.substr(at, 2) == "}}") {
      out.append_part(format, rest.substr(at, 1));
      rest.remove_prefix(at + 2);
      continue;
    }
    size_t end = at + 1;
    for (int open = 1; rest[at] == '{' && end < rest.size(); ++end) {
      open += rest[end] == '{' ? 1 : rest[end] == '}' ? -1 : 0;
      if (open == 0) break;
    }
    if (rest[at] == '}' || end >= rest.size()) return fail("a brace without its partner");
    TRY(const MarkedText filled, field(format.part(rest.substr(at + 1, end - at - 1)), level));
    TRY([[maybe_unused]] const Ok paid, runtime_.make(filled.held_bytes()));
    out.append(filled);
    rest.remove_prefix(end + 1);
  }
  return out;
}

Result<Value> Braces::run() {
  TRY(MarkedText text, fill(format_.as_text(), 0));
  return runtime_.string(std::move(text), format_.is_safe());
}

}  // namespace

Result<Value> format_braces(Runtime& runtime, const Value& format, const CallArgs& args) {
  return Braces(runtime, format, args).run();
}

}  // namespace lockstep::jinja
