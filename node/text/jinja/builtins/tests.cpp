// The tests that may follow `is`.
#include <algorithm>
#include <array>

#include "node/text/jinja/builtins/builtins.h"
#include "node/text/jinja/builtins/operators.h"
#include "node/text/jinja/values/letter_case.h"

namespace lockstep::jinja {
namespace {

// Tests of a value's kind, without arguments.
struct Predicate {
  std::string_view name;
  bool (*holds)(const Value&);
};

bool is_iterable(const Value& v) {
  return v.is_string() || v.is_list() || v.is_dict() || v.is_undefined();
}

constexpr std::array<Predicate, 19> kPredicates = {{
    {"defined", [](const Value& v) { return !v.is_undefined(); }},
    {"undefined", [](const Value& v) { return v.is_undefined(); }},
    {"none", [](const Value& v) { return v.is(Kind::kNone); }},
    {"string", [](const Value& v) { return v.is_string(); }},
    {"mapping", [](const Value& v) { return v.is_dict(); }},
    {"iterable", is_iterable},
    {"sequence", is_iterable},
    {"number", [](const Value& v) { return v.is_number(); }},
    {"integer", [](const Value& v) { return v.is(Kind::kInt); }},
    {"float", [](const Value& v) { return v.is(Kind::kFloat); }},
    {"boolean", [](const Value& v) { return v.is(Kind::kBool); }},
    {"true", [](const Value& v) { return v.is(Kind::kBool) && v.truthy(); }},
    {"false", [](const Value& v) { return v.is(Kind::kBool) && !v.truthy(); }},
    {"callable",
     [](const Value& v) {
       return v.is(Kind::kFunction) || (v.is(Kind::kLoop) && v.as_loop().recursive != nullptr);
     }},
    {"escaped", [](const Value& v) { return v.is_safe(); }},
    {"lower", [](const Value& v) { return is_lower(to_text(v).bytes()); }},
    {"upper", [](const Value& v) { return is_upper(to_text(v).bytes()); }},
    {"filter", [](const Value& v) { return v.is_string() && has_filter(v.as_string()); }},
    {"test", [](const Value& v) { return v.is_string() && has_test(v.as_string()); }},
}};

struct Comparison {
  std::string_view name;
  CompareOp op;
};

constexpr std::array<Comparison, 16> kComparisons = {{
    {"equalto", CompareOp::kEqual},
    {"eq", CompareOp::kEqual},
    {"==", CompareOp::kEqual},
    {"ne", CompareOp::kNotEqual},
    {"!=", CompareOp::kNotEqual},
    {"lt", CompareOp::kLess},
    {"<", CompareOp::kLess},
    {"le", CompareOp::kLessEqual},
    {"<=", CompareOp::kLessEqual},
    {"gt", CompareOp::kGreater},
    {">", CompareOp::kGreater},
    {"ge", CompareOp::kGreaterEqual},
    {">=", CompareOp::kGreaterEqual},
    {"in", CompareOp::kIn},
    {"greaterthan", CompareOp::kGreater},
    {"lessthan", CompareOp::kLess},
}};

constexpr std::array<std::string_view, 4> kOtherTests = {"even", "odd", "divisibleby", "sameas"};

// even, odd, divisibleby
Result<bool> call_number_test(Runtime& runtime, std::string_view name, const Value& self,
                              const CallArgs& args) {
  Value divisor = Value::integer(2);
  if (name == "divisibleby") {
    TRY(const auto bound, args.bind(runtime, {"num"}, 1));
    divisor = bound[0];
  } else if (name != "even" && name != "odd") {
    return runtime.fail("there is no test '" + std::string(name) + "'");
  } else {
    TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
  }
  TRY(const Value rest, apply_binary(runtime, BinaryOp::kModulo, self, divisor));
  return equal(rest, Value::integer(name == "odd" ? 1 : 0));
}

}  // namespace

bool has_test(std::string_view name) {
  const auto named = [name](const auto& test) { return test.name == name; };
  return std::any_of(kPredicates.begin(), kPredicates.end(), named) ||
         std::any_of(kComparisons.begin(), kComparisons.end(), named) ||
         std::count(kOtherTests.begin(), kOtherTests.end(), name) > 0;
}

Result<bool> call_test(Runtime& runtime, std::string_view name, const Value& self,
                       const CallArgs& args) {
  TRY([[maybe_unused]] const Ok paid, runtime.work(self.weight_bytes()));
  for (const Predicate& predicate : kPredicates) {
    if (predicate.name != name) continue;
    TRY([[maybe_unused]] const auto none, args.bind(runtime, {}, 0));
    return predicate.holds(self);
  }
  for (const Comparison& comparison : kComparisons) {
    if (comparison.name != name) continue;
    TRY(const auto bound, args.bind(runtime, {"other"}, 1));
    return apply_compare(runtime, comparison.op, self, bound[0]);
  }
  if (name == "sameas") {
    TRY(const auto bound, args.bind(runtime, {"other"}, 1));
    return same(self, bound[0]);
  }
  return call_number_test(runtime, name, self, args);
}

}  // namespace lockstep::jinja
