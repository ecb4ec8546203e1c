#include "node/text/jinja_operators.h"

#include <algorithm>
#include <cmath>

#include "node/text/jinja_builtins.h"
#include "node/text/jinja_strings.h"

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

// a ** b for b >= 0; false when it does not fit.
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
  if (divides && b == -1) {  // also the one quotient that would not fit
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
      break;  // not between integers
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
      what.is_string() ? what.as_string().size() : what.as_list().items.size() * sizeof(Value);
  uint64_t total = 0;
  if (__builtin_mul_overflow(n, n_bytes, &total)) total = UINT64_MAX;
  TRY([[maybe_unused]] const Ok paid, runtime.make(total));
  if (what.is_string()) {
    std::string text;
    for (uint64_t i = 0; i < n && n_bytes > 0; ++i) text += what.as_string();
    return Value::string(std::move(text));
  }
  std::vector<Value> items;
  const auto& once = what.as_list().items;
  for (uint64_t i = 0; i < n && n_bytes > 0; ++i) {
    items.insert(items.end(), once.begin(), once.end());
  }
  return runtime.list(std::move(items), what.as_list().is_tuple);
}

Result<Value> concatenate(Runtime& runtime, const Value& left, const Value& right) {
  TRY(std::string text, text_of(runtime, left));
  TRY(const std::string tail, text_of(runtime, right));
  return runtime.string(std::move(text += tail));
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

// A Python index into n things; -1 = outside.
int64_t resolve_index(int64_t index, size_t n) {
  const auto size = static_cast<int64_t>(n);
  if (index < -size || index >= size) return -1;
  return index < 0 ? index + size : index;
}

Result<Value> get_character(Runtime& runtime, const Value& object, const Value& index) {
  TRY([[maybe_unused]] const Ok paid, runtime.work(object.weight_bytes()));
  std::string_view text = object.as_string();
  const int64_t at = resolve_index(index.as_int(), count_chars(text));
  if (at < 0) return Value::undefined("character " + std::to_string(index.as_int()));
  text.remove_prefix(prefix_bytes(text, static_cast<size_t>(at)));
  return Value::string(std::string(text.substr(0, char_bytes(text))));
}

// Where a slice begins and ends among n items, as CPython's PySlice_AdjustIndices has it.
struct SliceRange {
  int64_t at, end, stride;

  SliceRange(size_t n_items, const Value& start, const Value& stop, const Value& step)
      : stride(step.is_integral() ? step.as_int() : 1) {
    const auto n = static_cast<int64_t>(n_items);
    const bool back = stride < 0;
    const int64_t low = back ? -1 : 0, high = back ? n - 1 : n;
    const auto clamp = [&](const Value& bound, int64_t fallback) {
      if (!bound.is_integral()) return fallback;
      const int64_t index = bound.as_int();
      return index < -n ? low : std::clamp(index < 0 ? index + n : index, low, high);
    };
    at = clamp(start, back ? high : low);
    end = clamp(stop, back ? low : high);
  }

  std::vector<size_t> indices() const {
    std::vector<size_t> out;
    for (int64_t i = at; stride < 0 ? i > end : i < end;) {
      out.push_back(static_cast<size_t>(i));
      if (__builtin_add_overflow(i, stride, &i)) break;
    }
    return out;
  }
};

Result<Value> slice_string(Runtime& runtime, std::string_view text, const Value& start,
                           const Value& stop, const Value& step) {
  const SliceRange range(count_chars(text), start, stop, step);
  if (range.stride == 1) {
    if (range.at >= range.end) return Value::string({});
    text.remove_prefix(prefix_bytes(text, static_cast<size_t>(range.at)));
    const size_t n = prefix_bytes(text, static_cast<size_t>(range.end - range.at));
    return runtime.string(std::string(text.substr(0, n)));
  }
  TRY([[maybe_unused]] const Ok paid, runtime.make(text.size() * sizeof(std::string_view)));
  const std::vector<std::string_view> chars = chars_of(text);
  std::string picked;
  for (const size_t at : range.indices()) picked += chars[at];
  return runtime.string(std::move(picked));
}

Value attribute_of_loop(const Loop& loop, std::string_view name) {
  const auto n = static_cast<int64_t>(loop.items->items.size());
  const auto at = static_cast<int64_t>(loop.index0);
  if (name == "index0") return Value::integer(at);
  if (name == "index") return Value::integer(at + 1);
  if (name == "first") return Value::boolean(at == 0);
  if (name == "last") return Value::boolean(at + 1 == n);
  if (name == "length") return Value::integer(n);
  if (name == "revindex") return Value::integer(n - at);
  if (name == "revindex0") return Value::integer(n - at - 1);
  if (name == "depth") return Value::integer(1);  // only recursive loops go deeper
  if (name == "depth0") return Value::integer(0);
  if (name == "previtem" && at > 0) return loop.items->items[loop.index0 - 1];
  if (name == "nextitem" && at + 1 < n) return loop.items->items[loop.index0 + 1];
  return Value::undefined("loop." + std::string(name));
}

}  // namespace

Result<std::string> text_of(Runtime& runtime, const Value& value) {
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
    return concatenate(runtime, left, right);
  }
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

Result<Value> get_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  if (object.is_undefined()) {
    return runtime.fail(object.undefined_name() + " is undefined, so it has no ." +
                        std::string(name));
  }
  if (const auto method = find_method(object, name)) return Value::function({*method, nullptr});
  if (object.is_dict()) {
    TRY([[maybe_unused]] const Ok paid, runtime.work(object.as_dict().items.size() * 16));
    if (const Value* found = object.as_dict().find(name)) return *found;
  }
  if (object.is(Kind::kNamespace)) {
    const auto& fields = object.as_namespace().fields;
    const auto found = fields.find(name);
    if (found != fields.end()) return found->second;
  }
  if (object.is(Kind::kLoop)) return attribute_of_loop(object.as_loop(), name);
  return Value::undefined(std::string(name));
}

Result<Value> get_item(Runtime& runtime, const Value& object, const Value& index) {
  if (object.is_undefined()) {
    return runtime.fail(object.undefined_name() + " is undefined, so it has no items");
  }
  if (object.is_dict()) {
    TRY([[maybe_unused]] const Ok paid, runtime.work(object.as_dict().items.size() * 16));
    if (const Value* found = object.as_dict().find(index)) return *found;
  }
  if (object.is_list() && index.is_integral()) {
    const auto& items = object.as_list().items;
    const int64_t at = resolve_index(index.as_int(), items.size());
    return at < 0 ? Value::undefined("item " + std::to_string(index.as_int()))
                  : items[static_cast<size_t>(at)];
  }
  if (object.is_string() && index.is_integral()) return get_character(runtime, object, index);
  if (index.is_string()) return get_attribute(runtime, object, index.as_string());
  return Value::undefined("an item");
}

Result<Value> get_slice(Runtime& runtime, const Value& object, const Value& start,
                        const Value& stop, const Value& step) {
  if (object.is_undefined()) {
    return runtime.fail(object.undefined_name() + " is undefined and cannot be sliced");
  }
  bool fits = object.is_list() || object.is_string();
  for (const Value* bound : {&start, &stop, &step}) {
    fits = fits && (bound->is_integral() || bound->is_undefined() || bound->is(Kind::kNone));
  }
  if (!fits) return Value::undefined("a slice");
  if (step.is_integral() && step.as_int() == 0) {
    return runtime.fail("the step of a slice cannot be zero");
  }
  TRY([[maybe_unused]] const Ok paid, runtime.work(object.weight_bytes()));
  if (object.is_string()) return slice_string(runtime, object.as_string(), start, stop, step);
  const auto& items = object.as_list().items;
  std::vector<Value> picked;
  for (const size_t at : SliceRange(items.size(), start, stop, step).indices()) {
    picked.push_back(items[at]);
  }
  return runtime.list(std::move(picked), object.as_list().is_tuple);
}

Result<std::shared_ptr<const List>> iterate(Runtime& runtime, const Value& value) {
  if (value.is_list()) return value.list_ref();
  std::vector<Value> items;
  if (value.is_dict()) {
    for (const auto& [key, item] : value.as_dict().items) items.push_back(key);
  } else if (value.is_string()) {
    TRY([[maybe_unused]] const Ok paid, runtime.make(value.as_string().size() * sizeof(Value) * 2));
    for (const std::string_view character : chars_of(value.as_string())) {
      items.push_back(Value::string(std::string(character)));
    }
  } else if (!value.is_undefined()) {
    return runtime.fail("a " + std::string(kind_name(value)) + " has no items to go through");
  }
  TRY(const Value list, runtime.list(std::move(items)));
  return list.list_ref();
}

}  // namespace lockstep::jinja
