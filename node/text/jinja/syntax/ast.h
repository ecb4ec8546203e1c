// The syntax tree of a chat template. The Template owns all expressions in one list, and
// expressions point at each other, so no chain of them, however long, is destroyed recursively.
// Statements nest only as deep as the parser allows. Immutable after parsing; any thread.
#pragma once

#include <deque>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "node/text/jinja/builtins/operators.h"
#include "node/text/jinja/values/value.h"

namespace lockstep::jinja {

struct Expr;

struct Arguments {
  std::vector<const Expr*> positional;
  std::vector<std::pair<std::string, const Expr*>> named;
  const Expr* more_positional = nullptr;  // *list; null = none
  const Expr* more_named = nullptr;       // **dict; null = none
};

struct Literal {
  Value value;
};
struct NameRef {
  std::string name;
};
struct Not {
  const Expr* operand;
};
struct Negate {
  const Expr* operand;
};
struct Logical {
  bool is_and;
  const Expr *left, *right;
};
struct Binary {
  BinaryOp op;
  const Expr *left, *right;
};
// a < b <= c: every comparison must hold.
struct Compare {
  const Expr* first;
  std::vector<std::pair<CompareOp, const Expr*>> rest;
};
struct Conditional {
  const Expr *test, *then, *otherwise;
};  // otherwise: null = undefined
struct ListExpr {
  std::vector<const Expr*> items;
  bool is_tuple;
};
struct DictExpr {
  std::vector<std::pair<const Expr*, const Expr*>> items;
};
struct Attribute {
  const Expr* object;
  std::string name;
};
struct Subscript {
  const Expr *object, *index;
};
struct Slice {
  const Expr *object, *start, *stop, *step;
};  // the last three: null = not given
struct Call {
  const Expr* callee;
  Arguments arguments;
};
// input | name(arguments)
struct Filter {
  const Expr* input;
  std::string name;
  Arguments arguments;
};
// input is [not] name(arguments)
struct Test {
  const Expr* input;
  std::string name;
  Arguments arguments;
  bool negated;
};

struct Expr {
  std::variant<Literal, NameRef, Not, Negate, Logical, Binary, Compare, Conditional, ListExpr,
               DictExpr, Attribute, Subscript, Slice, Call, Filter, Test>
      node;
  int line = 0;
};

// The target of an assignment: a name, a field of a namespace, or a tuple of targets.
struct Target {
  std::string name;
  std::string field;          // empty = none
  std::vector<Target> parts;  // the targets of a tuple
  bool is_tuple = false;
};

struct Stmt;
using Block = std::vector<Stmt>;

struct Text {
  std::string text;
};
struct Output {
  const Expr* value;
};
struct If {
  struct Branch {
    const Expr* test;
    Block body;
  };  // test: null = else
  std::vector<Branch> branches;
};
struct For {
  Target target;
  const Expr* iterable;
  const Expr* filter;  // null = every item
  bool is_recursive;
  Block body, otherwise;
};
struct Assign {
  Target target;
  const Expr* value;
};
// {% set x %}…{% endset %} and {% filter f %}…{% endfilter %} (no target). The filters are applied
// to the body in order.
struct Capture {
  bool has_target;
  Target target;
  std::vector<Filter> filters;  // their input is null
  Block body;
};
// {% with a = 1 %}…{% endwith %}: a body with a scope of its own.
struct With {
  std::vector<std::pair<Target, const Expr*>> values;
  Block body;
};
struct Macro {
  struct Parameter {
    std::string name;
    const Expr* fallback;
  };  // fallback: null = undefined
  std::string name;
  std::vector<Parameter> parameters;
  Block body;
  // Whether the body uses these names; only then does a call accept them.
  bool uses_caller = false, uses_kwargs = false, uses_varargs = false;
};
// {% call(a) f(x) %}…{% endcall %}: f(x, caller=a macro of the body).
struct CallBlock {
  const Expr* call;  // a Call
  Macro caller;
};
struct Break {};
struct Continue {};

struct Stmt {
  std::variant<Text, Output, If, For, Assign, Capture, With, Macro, CallBlock, Break, Continue>
      node;
  int line = 0;
};

struct Template {
  std::deque<Expr> exprs;
  Block body;
};

}  // namespace lockstep::jinja
