#include "node/text/jinja/builtins/operators.h"

#include <algorithm>
#include <cmath>

#include "node/text/jinja/builtins/format.h"
#include "node/text/jinja/builtins/html.h"

namespace lockstep::jinja {
namespace {

std::string_view symbol(BinaryOp op) {
  static constexpr std::string_view kSymbols[] = {"+", "-", "*", "/", "//", "%", "**", "~"};
  return kSymbols[static_cast<size_t>(op)];
}

Error no_operator(const Runtime& runtime, std::string_view op, const Value& left,
                  const Value& right) {
  for (const Value* side : {&left, &right}) {
    if (side->is_undefined()) return runtime.fail(side->undefined_name() + " is undefined");
  }
  return runtime.fail("'" + std::string(op) + "' does not go with " + std::string(kind_name(left)) +
                      " and " + std::string(kind_name(right)));
}

int64_t floor_divide(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

// a ** b for b >= 0; returns false if the result does not fit.
bool power(int64_t a, int64_t b, int64_t& out) {
  out = 1;
  for (; b > 0; b >>= 1) {
    if ((b & 1) != 0 && __builtin_mul_overflow(out, a, &out)) return false;
    if (b > 1 && __builtin_mul_overflow(a, a, &a)) return false;
  }
  return true;
}

Result<Value> integers(Runtime& runtime, BinaryOp op, int64_t a, int64_t b) {
  const bool divides = op == BinaryOp::kFloorDivide || op == BinaryOp::kModulo;
  if (divides && b == 0) return runtime.fail("division by zero");
  if (divides && b == -1) {  // includes the one quotient that would not fit
    op = op == BinaryOp::kModulo ? BinaryOp::kMultiply : BinaryOp::kSubtract;
    return integers(runtime, op, 0, a);
  }
  int64_t result = 0;
  bool fits = true;
  switch (op) {
    case BinaryOp::kAdd:
      fits = !__builtin_add_overflow(a, b, &result);
      break;
    case BinaryOp::kSubtract:
      fits = !__builtin_sub_overflow(a, b, &result);
      break;
    case BinaryOp::kMultiply:
      fits = !__builtin_mul_overflow(a, b, &result);
      break;
    case BinaryOp::kFloorDivide:
      result = floor_divide(a, b);
      break;
    case BinaryOp::kModulo:
      result = a - b * floor_divide(a, b);
      break;
    case BinaryOp::kPower:
      fits = power(a, b, result);
      break;
    case BinaryOp::kDivide:
    case BinaryOp::kConcat:
      break;  // not an operator of two integers
  }
  if (!fits) return runtime.fail("the result of '" + std::string(symbol(op)) + "' is too large");
  return Value::integer(result);
}

Result<Value> reals(Runtime& runtime, BinaryOp op, double a, double b) {
  const bool divides =
      op == BinaryOp::kDivide || op == BinaryOp::kFloorDivide || op == BinaryOp::kModulo;
  if (divides && b == 0) return runtime.fail("division by zero");
  switch (op) {
    case BinaryOp::kAdd:
      return Value::real(a + b);
    case BinaryOp::kSubtract:
      return Value::real(a - b);
    case BinaryOp::kMultiply:
      return Value::real(a * b);
    case BinaryOp::kDivide:
      return Value::real(a / b);
    case BinaryOp::kFloorDivide:
      return Value::real(std::floor(a / b));
    case BinaryOp::kModulo:
      return Value::real(a - b * std::floor(a / b));
    default:
      return Value::real(std::pow(a, b));
  }
}

// "ab" * 3, [a] * 3
Result<Value> repeat(Runtime& runtime, const Value& what, int64_t times) {
  const auto n = static_cast<uint64_t>(std::max<int64_t>(times, 0));
  const uint64_t n_bytes =
      what.is_string() ? what.as_text().held_bytes() : what.as_list().items.size() * sizeof(Value);
  uint64_t total = 0;
  if (__builtin_mul_overflow(n, n_bytes, &total)) total = UINT64_MAX;
  TRY([[maybe_unused]] const Ok paid, runtime.make(total));
  if (what.is_string()) {
    MarkedText text;
    for (uint64_t i = 0; i < n && n_bytes > 0; ++i) text.append(what.as_text());
    return Value::string(std::move(text), what.is_safe());
  }
  std::vector<Value> items;
  const auto& once = what.as_list().items;
  for (uint64_t i = 0; i < n && n_bytes > 0; ++i) {
    items.insert(items.end(), once.begin(), once.end());
  }
  return runtime.list(std::move(items), what.as_list().is_tuple);
}

Result<Value> concatenate(Runtime& runtime, const Value& left, const Value& right) {
  TRY(MarkedText text, text_of(runtime, left));
  TRY(const MarkedText tail, text_of(runtime, right));
  text.append(tail);
  return runtime.string(std::move(text));
}

// If one string is safe, the other one is escaped, as Markup does it.
Result<Value> add_strings(Runtime& runtime, const Value& left, const Value& right) {
  if (!left.is_safe() && !right.is_safe()) return concatenate(runtime, left, right);
  TRY(const Value safe_left, escape(runtime, left));
  TRY(const Value safe_right, escape(runtime, right));
  TRY(const Value sum, concatenate(runtime, safe_left, safe_right));
  return runtime.string(sum.as_text(), true);
}

Result<Value> add_lists(Runtime& runtime, const List& left, const List& right) {
  std::vector<Value> items = left.items;
  items.insert(items.end(), right.items.begin(), right.items.end());
  return runtime.list(std::move(items), left.is_tuple);
}

Result<bool> contains(Runtime& runtime, const Value& container, const Value& item) {
  TRY([[maybe_unused]] const Ok paid, runtime.work(container.weight_bytes() + item.weight_bytes()));
  if (container.is_string() && item.is_string()) {
    return container.as_string().find(item.as_string()) != std::string::npos;
  }
  if (container.is_dict()) return container.as_dict().find(item) != nullptr;
  if (container.is_list()) {
    const auto& items = container.as_list().items;
    return std::any_of(items.begin(), items.end(),
                       [&item](const Value& other) { return equal(item, other); });
  }
  if (container.is_undefined()) return false;
  return no_operator(runtime, "in", item, container);
}

}  // namespace

Result<MarkedText> text_of(Runtime& runtime, const Value& value) {
  TRY([[maybe_unused]] const Ok paid, runtime.make(value.weight_bytes()));
  return to_text(value);
}

Result<Value> apply_binary(Runtime& runtime, BinaryOp op, const Value& left, const Value& right) {
  if (op == BinaryOp::kConcat) return concatenate(runtime, left, right);
  if (left.is_number() && right.is_number()) {
    const bool integral = left.is_integral() && right.is_integral() && op != BinaryOp::kDivide &&
                          !(op == BinaryOp::kPower && right.as_int() < 0);
    if (integral) return integers(runtime, op, left.as_int(), right.as_int());
    return reals(runtime, op, left.as_real(), right.as_real());
  }
  if (op == BinaryOp::kAdd && left.is_string() && right.is_string()) {
    return add_strings(runtime, left, right);
  }
  if (op == BinaryOp::kModulo && left.is_string()) return format_printf(runtime, left, right);
  if (op == BinaryOp::kAdd && left.is_list() && right.is_list() &&
      left.as_list().is_tuple == right.as_list().is_tuple) {
    return add_lists(runtime, left.as_list(), right.as_list());
  }
  if (op == BinaryOp::kMultiply) {
    for (const auto& [what, times] : {std::pair(&left, &right), std::pair(&right, &left)}) {
      if ((what->is_string() || what->is_list()) && times->is_integral()) {
        return repeat(runtime, *what, times->as_int());
      }
    }
  }
  return no_operator(runtime, symbol(op), left, right);
}

Result<Value> negate(Runtime& runtime, const Value& operand) {
  if (operand.is_integral()) {
    return integers(runtime, BinaryOp::kSubtract, 0, operand.as_int());
  }
  if (operand.is(Kind::kFloat)) return Value::real(-operand.as_real());
  return no_operator(runtime, "-", operand, operand);
}

Result<bool> apply_compare(Runtime& runtime, CompareOp op, const Value& left, const Value& right) {
  if (op == CompareOp::kIn) return contains(runtime, right, left);
  if (op == CompareOp::kNotIn) {
    TRY(const bool found, contains(runtime, right, left));
    return !found;
  }
  TRY([[maybe_unused]] const Ok paid,
      runtime.work(std::min(left.weight_bytes(), right.weight_bytes())));
  if (op == CompareOp::kEqual) return equal(left, right);
  if (op == CompareOp::kNotEqual) return !equal(left, right);
  const bool swapped = op == CompareOp::kGreater || op == CompareOp::kGreaterEqual;
  const bool or_equal = op == CompareOp::kLessEqual || op == CompareOp::kGreaterEqual;
  const Order order = swapped ? compare(right, left) : compare(left, right);
  if (order == Order::kNone && !(left.is_number() && right.is_number())) {  // not just NaN
    return no_operator(runtime, swapped ? ">" : "<", left, right);
  }
  return order == Order::kLess || (or_equal && order == Order::kEqual);
}

}  // namespace lockstep::jinja
