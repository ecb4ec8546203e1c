// Interpreter, second part: expressions.
#include "node/text/jinja/builtins/operators.h"
#include "node/text/jinja/interpreter/interpreter.h"
#include "node/text/jinja/values/nesting.h"

namespace lockstep::jinja {

Result<Value> Interpreter::eval(const Expr& expr) {
  const Nesting nesting(depth_);
  runtime_.at_line(expr.line);
  if (depth_ > kMaxRunDepth) return runtime_.fail("the expression is nested too deep");
  TRY([[maybe_unused]] const Ok paid, runtime_.work(0));
  return std::visit([this](const auto& node) { return eval(node); }, expr.node);
}

Result<Value> Interpreter::eval_optional(const Expr* expr) {
  if (expr == nullptr) return Value();
  return eval(*expr);
}

Result<Value> Interpreter::eval(const NameRef& node) {
  TRY([[maybe_unused]] const Ok paid, runtime_.work(scopes_.size()));
  if (const Value* found = scopes_.find(node.name)) return *found;
  if (const auto function = find_function(node.name)) return *function;
  return Value::undefined(node.name);
}

Result<Value> Interpreter::eval(const Not& node) {
  TRY(const Value operand, eval(*node.operand));
  return Value::boolean(!operand.truthy());
}

Result<Value> Interpreter::eval(const Negate& node) {
  TRY(const Value operand, eval(*node.operand));
  return negate(runtime_, operand);
}

// As in Python, the result of `and` and `or` is one of the two operands.
Result<Value> Interpreter::eval(const Logical& node) {
  TRY(Value left, eval(*node.left));
  if (left.truthy() != node.is_and) return left;
  return eval(*node.right);
}

Result<Value> Interpreter::eval(const Binary& node) {
  TRY(const Value left, eval(*node.left));
  TRY(const Value right, eval(*node.right));
  return apply_binary(runtime_, node.op, left, right);
}

Result<Value> Interpreter::eval(const Compare& node) {
  TRY(Value left, eval(*node.first));
  for (const auto& [op, operand] : node.rest) {
    TRY(Value right, eval(*operand));
    TRY(const bool holds, apply_compare(runtime_, op, left, right));
    if (!holds) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Result<Value> Interpreter::eval(const Conditional& node) {
  TRY(const Value test, eval(*node.test));
  return test.truthy() ? eval(*node.then) : eval_optional(node.otherwise);
}

Result<Value> Interpreter::eval(const ListExpr& node) {
  std::vector<Value> items;
  items.reserve(node.items.size());
  for (const Expr* item : node.items) {
    TRY(Value value, eval(*item));
    items.push_back(std::move(value));
  }
  return runtime_.list(std::move(items), node.is_tuple);
}

Result<Value> Interpreter::eval(const DictExpr& node) {
  std::vector<std::pair<Value, Value>> items;
  for (const auto& [key_expr, value_expr] : node.items) {
    TRY(Value key, eval(*key_expr));
    TRY(Value value, eval(*value_expr));
    TRY([[maybe_unused]] const Ok paid, runtime_.work(items.size() * 16));
    size_t at = 0;
    while (at < items.size() && !equal(items[at].first, key)) ++at;
    if (at == items.size()) {
      items.emplace_back(std::move(key), std::move(value));
    } else {
      items[at].second = std::move(value);
    }
  }
  return runtime_.dict(std::move(items));
}

Result<Value> Interpreter::eval(const Attribute& node) {
  TRY(const Value object, eval(*node.object));
  return get_attribute(runtime_, object, node.name);
}

Result<Value> Interpreter::eval(const Subscript& node) {
  TRY(const Value object, eval(*node.object));
  TRY(const Value index, eval(*node.index));
  return get_item(runtime_, object, index);
}

Result<Value> Interpreter::eval(const Slice& node) {
  TRY(const Value object, eval(*node.object));
  TRY(const Value start, eval_optional(node.start));
  TRY(const Value stop, eval_optional(node.stop));
  TRY(const Value step, eval_optional(node.step));
  return get_slice(runtime_, object, start, stop, step);
}

Result<Value> Interpreter::eval(const Filter& node) {
  TRY(const Value input, eval(*node.input));
  TRY(const CallArgs args, eval_arguments(node.arguments));
  return call_filter(runtime_, node.name, input, args);
}

Result<Value> Interpreter::eval(const Test& node) {
  TRY(const Value input, eval(*node.input));
  TRY(const CallArgs args, eval_arguments(node.arguments));
  TRY(const bool holds, call_test(runtime_, node.name, input, args));
  return Value::boolean(holds != node.negated);
}

}  // namespace lockstep::jinja
