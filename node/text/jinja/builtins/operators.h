// The operators of a template, by Python's rules. Each fails where Python would raise.
#pragma once

#include "node/text/jinja/builtins/runtime.h"

namespace lockstep::jinja {

enum class BinaryOp { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower, kConcat };
enum class CompareOp { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };

Result<Value> apply_binary(Runtime& runtime, BinaryOp op, const Value& left, const Value& right);
Result<Value> negate(Runtime& runtime, const Value& operand);
Result<bool> apply_compare(Runtime& runtime, CompareOp op, const Value& left, const Value& right);

// object.name and object[index]; undefined if the object has no such attribute or item.
Result<Value> get_attribute(Runtime& runtime, const Value& object, std::string_view name);
Result<Value> get_item(Runtime& runtime, const Value& object, const Value& index);
// object[start:stop:step]; undefined = not given.
Result<Value> get_slice(Runtime& runtime, const Value& object, const Value& start,
                        const Value& stop, const Value& step);

// The values that `for` iterates over: items, keys or characters. Undefined is empty.
Result<std::shared_ptr<const List>> iterate(Runtime& runtime, const Value& value);

// str() of a value, counted in the runtime's bounds.
Result<MarkedText> text_of(Runtime& runtime, const Value& value);

}  // namespace lockstep::jinja
