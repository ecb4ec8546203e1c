// Interpreter: renders one template once. Walks the syntax tree with a stack of scopes. The Runtime
// counts every step, so a render always ends. One render, one thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "node/text/jinja/builtins/builtins.h"
#include "node/text/jinja/builtins/runtime.h"
#include "node/text/jinja/interpreter/scopes.h"
#include "node/text/jinja/syntax/ast.h"

namespace lockstep::jinja {

class Interpreter {
 public:
  explicit Interpreter(const Template& source) : source_(source) {}

  // Must be called before render(). The name must outlive the interpreter.
  void set_global(std::string_view name, Value value) { scopes_.set(name, std::move(value)); }
  Result<MarkedText> render();

 private:
  enum class Flow { kNext, kBreak, kContinue };

  // Statements: interpreter.cpp.
  Result<Flow> run(const Block& block);
  Result<Flow> run(const Stmt& stmt);
  Result<Flow> run(const Text& node);
  Result<Flow> run(const Output& node);
  Result<Flow> run(const If& node);
  Result<Flow> run(const For& node);
  Result<Flow> run(const Assign& node);
  Result<Flow> run(const Capture& node);
  Result<Flow> run(const With& node);
  Result<Flow> run(const Macro& node);
  Result<Flow> run(const CallBlock& node);
  Result<Flow> run(const Break&) { return Flow::kBreak; }
  Result<Flow> run(const Continue&) { return Flow::kContinue; }
  Status emit(const Value& value);
  Result<std::shared_ptr<const List>> loop_items(const For& node, const Value& iterable);
  Result<Flow> run_loop(const For& node, const Value& iterable, int64_t depth0);
  Status assign(const Target& target, const Value& value);
  // Runs a block and returns its output instead of writing it.
  Result<MarkedText> capture(const Block& block);

  // Expressions: evaluator.cpp.
  Result<Value> eval(const Expr& expr);
  Result<Value> eval(const Literal& node) { return node.value; }
  Result<Value> eval(const NameRef& node);
  Result<Value> eval(const Not& node);
  Result<Value> eval(const Negate& node);
  Result<Value> eval(const Logical& node);
  Result<Value> eval(const Binary& node);
  Result<Value> eval(const Compare& node);
  Result<Value> eval(const Conditional& node);
  Result<Value> eval(const ListExpr& node);
  Result<Value> eval(const DictExpr& node);
  Result<Value> eval(const Attribute& node);
  Result<Value> eval(const Subscript& node);
  Result<Value> eval(const Slice& node);
  Result<Value> eval(const Call& node) { return call(node, nullptr); }
  Result<Value> eval(const Filter& node);
  Result<Value> eval(const Test& node);
  Result<Value> eval_optional(const Expr* expr);

  // Calls: calls.cpp.
  Result<CallArgs> eval_arguments(const Arguments& arguments);
  // caller: the macro made of the body of a call block; null = none.
  Result<Value> call(const Call& node, const Value* caller);
  Result<Value> call_value(const Value& callee, const CallArgs& args);
  Result<Value> call_macro(const Function& function, const CallArgs& args);
  Status bind_parameters(const Macro& macro, const CallArgs& args);
  Status bind_the_rest(const Macro& macro, const CallArgs& args);
  Result<Value> call_loop(const Loop& loop, const CallArgs& args);

  const Template& source_;
  Runtime runtime_;
  Scopes scopes_;
  MarkedText* out_ = nullptr;  // current destination of text
  int depth_ = 0;              // nesting of the nodes that are being evaluated
};

}  // namespace lockstep::jinja
