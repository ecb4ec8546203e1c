// format % values of Python.
#include <cmath>

#include "common/text/utf8.h"
#include "node/text/jinja/builtins/format.h"
#include "node/text/jinja/builtins/html.h"
#include "node/text/jinja/builtins/operators.h"
#include "node/text/jinja/values/number_text.h"
#include "node/text/jinja/values/strings.h"

namespace lockstep::jinja {
namespace {

// %[(key)][flags][width][.precision]type
struct Conversion {
  std::string_view key;
  bool has_key = false;
  bool left = false, zero = false, alternate = false;
  char sign = 0;
  int64_t width = 0, precision = -1;
  char type = 0;
};

class Printf {
 public:
  Printf(Runtime& runtime, const Value& format, const Value& values)
      : runtime_(runtime), format_(format), values_(values), rest_(format.as_string()) {}

  Result<Value> run();

 private:
  bool takes_tuple() const { return values_.is_list() && values_.as_list().is_tuple; }
  Result<Value> next_value();
  Result<Conversion> read();
  Result<int64_t> read_number();
  Result<Value> value_of(const Conversion& c);
  Status convert(const Conversion& c);
  Result<MarkedText> text_for(const Conversion& c, const Value& value);
  Result<MarkedText> number_for(const Conversion& c, const Value& value, size_t& n_sign);
  Result<MarkedText> character_for(const Value& value);
  Error fail(std::string message) const { return runtime_.fail("format: " + std::move(message)); }

  Runtime& runtime_;
  const Value& format_;
  const Value& values_;
  std::string_view rest_;
  size_t n_taken_ = 0;
  MarkedText out_;
};

Result<Value> Printf::next_value() {
  const size_t n_values = takes_tuple() ? values_.as_list().items.size() : 1;
  if (n_taken_ == n_values) return fail("not enough values");
  const size_t at = n_taken_++;
  return takes_tuple() ? values_.as_list().items[at] : values_;
}

Result<int64_t> Printf::read_number() {
  if (rest_.substr(0, 1) == "*") {
    rest_.remove_prefix(1);
    TRY(const Value value, next_value());
    if (!value.is_integral()) return fail("* takes an integer");
    if (std::abs(value.as_int()) > kMaxFormatWidth) return fail("too wide");
    return value.as_int();
  }
  int64_t number = 0;
  while (!rest_.empty() && rest_[0] >= '0' && rest_[0] <= '9') {
    number = number * 10 + (rest_[0] - '0');
    if (number > kMaxFormatWidth) return fail("too wide");
    rest_.remove_prefix(1);
  }
  return number;
}

// Reads a conversion from after its %.
Result<Conversion> Printf::read() {
  Conversion c;
  if (rest_.substr(0, 1) == "(") {
    const size_t end = rest_.find(')');
    if (end == rest_.npos) return fail("a key without an end");
    c.key = rest_.substr(1, end - 1);
    c.has_key = true;
    rest_.remove_prefix(end + 1);
  }
  for (; !rest_.empty() && std::string_view("#0- +").find(rest_[0]) != std::string_view::npos;
       rest_.remove_prefix(1)) {
    c.left = c.left || rest_[0] == '-';
    c.zero = c.zero || rest_[0] == '0';
    c.alternate = c.alternate || rest_[0] == '#';
    if (rest_[0] == '+' || (rest_[0] == ' ' && c.sign == 0)) c.sign = rest_[0];
  }
  TRY(c.width, read_number());
  if (c.width < 0) c.left = true;
  c.width = std::abs(c.width);
  if (rest_.substr(0, 1) == ".") {
    rest_.remove_prefix(1);
    TRY(const int64_t precision, read_number());
    c.precision = std::max<int64_t>(precision, 0);
  }
  while (!rest_.empty() && std::string_view("hlL").find(rest_[0]) != std::string_view::npos) {
    rest_.remove_prefix(1);
  }
  if (rest_.empty()) return fail("it ends inside a conversion");
  c.type = rest_[0];
  rest_.remove_prefix(1);
  return c;
}

Result<Value> Printf::value_of(const Conversion& c) {
  if (!c.has_key) return next_value();
  if (!values_.is_dict()) return fail("%(name) takes a dict");
  n_taken_ = 1;
  const Value* found = values_.as_dict().find(c.key);
  if (found == nullptr) return fail("there is no '" + std::string(c.key) + "'");
  return *found;
}

Result<MarkedText> Printf::character_for(const Value& value) {
  if (value.is_string() && count_chars(value.as_string()) == 1) return value.as_text();
  if (!value.is_integral() || value.as_int() < 0 || value.as_int() > 0x10FFFF ||
      (value.as_int() >= 0xD800 && value.as_int() <= 0xDFFF)) {
    return fail("%c takes a character");
  }
  std::string bytes;
  utf8::append(static_cast<char32_t>(value.as_int()), bytes);
  return MarkedText::own(std::move(bytes));
}

Result<MarkedText> Printf::number_for(const Conversion& c, const Value& value, size_t& n_sign) {
  const bool takes_real = std::string_view("eEfFgG").find(c.type) != std::string_view::npos;
  const bool is_decimal = c.type == 'd' || c.type == 'i' || c.type == 'u';
  if (!value.is_number() || (!takes_real && !is_decimal && !value.is_integral())) {
    return fail(std::string("%") + c.type + " does not take a " + std::string(kind_name(value)));
  }
  std::string digits;
  bool negative = false;
  if (takes_real) {
    const double real = value.as_real();
    if (c.precision > kMaxPrecision) return fail("too precise");
    negative = std::signbit(real) && !std::isnan(real);
    digits =
        real_digits(real, c.type, c.precision < 0 ? 6 : static_cast<int>(c.precision), c.alternate);
  } else {
    if (!value.is_integral() && !(std::fabs(value.as_real()) < 9e18)) return fail("too large");
    const int64_t integer =
        value.is_integral() ? value.as_int() : static_cast<int64_t>(value.as_real());
    negative = integer < 0;
    digits = integer_digits(integer, is_decimal ? 'd' : c.type, c.alternate);
    if (c.precision > static_cast<int64_t>(digits.size())) {
      if (c.precision > kMaxPrecision) return fail("too precise");
      digits.insert(0, static_cast<size_t>(c.precision) - digits.size(), '0');
    }
  }
  const std::string_view sign = sign_of(negative, c.sign);
  n_sign = sign.size();
  return MarkedText::own(std::string(sign) + digits);
}

Result<MarkedText> Printf::text_for(const Conversion& c, const Value& value) {
  if (c.type != 's' && c.type != 'r') {
    return fail(std::string("there is no conversion %") + c.type);
  }
  TRY([[maybe_unused]] const Ok paid, runtime_.make(value.weight_bytes()));
  MarkedText text = c.type == 'r' ? to_repr(value) : to_text(value);
  if (format_.is_safe() && !(c.type == 's' && value.is_safe())) text = escape_text(text);
  if (c.precision < 0) return text;
  return text.substr(0, prefix_bytes(text.bytes(), static_cast<size_t>(c.precision)));
}

Status Printf::convert(const Conversion& c) {
  TRY(const Value value, value_of(c));
  MarkedText text;
  size_t n_sign = 0;
  const bool is_number = std::string_view("diuoxXeEfFgG").find(c.type) != std::string_view::npos;
  if (is_number) {
    TRY(text, number_for(c, value, n_sign));
  } else if (c.type == 'c') {
    TRY(text, character_for(value));
  } else {
    TRY(text, text_for(c, value));
  }
  const bool zero = is_number && c.zero && !c.left;
  TRY([[maybe_unused]] const Ok paid,
      runtime_.make(text.held_bytes() + static_cast<uint64_t>(c.width)));
  out_.append(pad(text, static_cast<size_t>(c.width), MarkedText::own(zero ? "0" : " "),
                  c.left ? '<'
                  : zero ? '='
                         : '>',
                  n_sign));
  return Ok{};
}

Result<Value> Printf::run() {
  for (;;) {
    const size_t at = rest_.find('%');
    out_.append_part(format_.as_text(), rest_.substr(0, at));
    if (at == rest_.npos) break;
    rest_.remove_prefix(at + 1);
    if (rest_.substr(0, 1) == "%") {
      out_.append_part(format_.as_text(), rest_.substr(0, 1));
      rest_.remove_prefix(1);
      continue;
    }
    TRY(const Conversion conversion, read());
    TRY([[maybe_unused]] const Ok converted, convert(conversion));
  }
  const bool all_taken = takes_tuple() ? n_taken_ == values_.as_list().items.size()
                                       : n_taken_ == 1 || values_.is_dict() || values_.is_list();
  if (!all_taken) return fail("not all values are used");
  return runtime_.string(std::move(out_), format_.is_safe());
}

}  // namespace

Result<Value> format_printf(Runtime& runtime, const Value& format, const Value& values) {
  return Printf(runtime, format, values).run();
}

}  // namespace lockstep::jinja
