// Interpreter: renders one template once. Walks the tree with a stack of scopes; every step is
// paid for at the Runtime, so it always ends. One render, one thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "node/text/jinja_ast.h"
#include "node/text/jinja_builtins.h"
#include "node/text/jinja_runtime.h"

namespace lockstep::jinja {

// Variables by name, innermost scope last. A macro sees its own scopes and the outermost one.
class Scopes {
 public:
  // A scope for as long as it lives.
  class Entered {
   public:
    Entered(Scopes& scopes, bool is_macro);
    ~Entered();
    Entered(const Entered&) = delete;
    Entered& operator=(const Entered&) = delete;

   private:
    Scopes& scopes_;
    size_t outer_begin_, outer_visible_;
  };

  void set(std::string_view name, Value value);  // in the innermost scope
  const Value* find(std::string_view name) const;
  size_t size() const { return variables_.size(); }

 private:
  std::vector<std::pair<std::string_view, Value>> variables_;
  size_t begin_ = 0;     // of the innermost scope
  size_t visible_ = 0;   // variables before this one are seen only if they are global
  size_t n_global_ = 0;  // size of the outermost scope, fixed while another one is open
};

class Interpreter {
 public:
  explicit Interpreter(const Template& source) : source_(source) {}

  // Before render(); the name must outlive the interpreter.
  void set_global(std::string_view name, Value value) { scopes_.set(name, std::move(value)); }
  Result<std::string> render();

 private:
  enum class Flow { kNext, kBreak, kContinue };

  Result<Flow> run(const Block& block);
  Result<Flow> run(const Stmt& stmt);
  Result<Flow> run(const Text& node);
  Result<Flow> run(const Output& node);
  Result<Flow> run(const If& node);
  Result<Flow> run(const For& node);
  Result<Flow> run(const Assign& node);
  Result<Flow> run(const Capture& node);
  Result<Flow> run(const Macro& node);
  Result<Flow> run(const Break&) { return Flow::kBreak; }
  Result<Flow> run(const Continue&) { return Flow::kContinue; }
  Status emit(std::string_view text);
  Result<std::shared_ptr<const List>> loop_items(const For& node);
  Status assign(const std::vector<std::string>& targets, const Value& value);
  // Runs a block with its output caught.
  Result<std::string> capture(const Block& block);

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
  Result<Value> eval(const Call& node);
  Result<Value> eval(const Filter& node);
  Result<Value> eval(const Test& node);
  Result<Value> eval_optional(const Expr* expr);
  Result<CallArgs> eval_arguments(const Arguments& arguments);
  Result<Value> call_macro(const Macro& macro, const CallArgs& args);

  const Template& source_;
  Runtime runtime_;
  Scopes scopes_;
  std::string* out_ = nullptr;  // where text goes now
  int depth_ = 0;               // nodes being worked on inside one another
};

}  // namespace lockstep::jinja
