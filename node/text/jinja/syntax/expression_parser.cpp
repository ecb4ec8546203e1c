#include <algorithm>
#include <array>
#include <charconv>

#include "node/text/jinja/builtins/builtins.h"
#include "node/text/jinja/syntax/parser.h"
#include "node/text/jinja/values/nesting.h"

namespace lockstep::jinja {
namespace {

template <class Op>
struct Spelling {
  std::string_view text;
  Op op;
};

constexpr std::array<Spelling<CompareOp>, 6> kCompareOps = {{
    {"==", CompareOp::kEqual},
    {"!=", CompareOp::kNotEqual},
    {"<", CompareOp::kLess},
    {"<=", CompareOp::kLessEqual},
    {">", CompareOp::kGreater},
    {">=", CompareOp::kGreaterEqual},
}};

// The levels of left-associative operators, loosest first. In Jinja, + binds looser than ~.
constexpr int kLevels = 4;
constexpr std::array<std::array<Spelling<BinaryOp>, 4>, kLevels> kBinaryOps = {{
    {{{"+", BinaryOp::kAdd}, {"-", BinaryOp::kSubtract}, {}, {}}},
    {{{"~", BinaryOp::kConcat}, {}, {}, {}}},
    {{{"*", BinaryOp::kMultiply},
      {"/", BinaryOp::kDivide},
      {"//", BinaryOp::kFloorDivide},
      {"%", BinaryOp::kModulo}}},
    {{{"**", BinaryOp::kPower}, {}, {}, {}}},
}};

}  // namespace

Parser::ExprResult Parser::expression() { return conditional(); }

Parser::ExprResult Parser::tuple(bool with_condition) {
  const int line = current().line;
  const auto item = [&] { return with_condition ? conditional() : logical(false); };
  TRY(const Expr* first, item());
  if (!is_op(",")) return first;
  ListExpr list{{first}, true};
  while (skip_op(",")) {
    const TokenKind kind = current().kind;
    const bool ends = kind == TokenKind::kBlockEnd || kind == TokenKind::kOutputEnd || is_op(")");
    if (ends) break;  // (a,)
    TRY(const Expr* next_item, item());
    list.items.push_back(next_item);
  }
  return make(line, std::move(list));
}

// a if b else c
Parser::ExprResult Parser::conditional() {
  const Nesting nesting(depth_);
  if (depth_ > kMaxParseDepth) return fail("the expression is nested too deep");
  const int line = current().line;
  const size_t n_unknown = unknown_.size();
  TRY(const Expr* value, logical(false));
  while (skip_name("if")) {
    TRY(const Expr* condition, logical(false));
    const Expr* otherwise = nullptr;
    if (skip_name("else")) {
      TRY(otherwise, conditional());
    }
    value = make(line, Conditional{condition, value, otherwise});
    unknown_.erase(unknown_.begin() + static_cast<long>(n_unknown), unknown_.end());
  }
  return value;
}

Parser::ExprResult Parser::logical(bool is_and) {
  const auto operand = [&] { return is_and ? negation() : logical(true); };
  const int line = current().line;
  TRY(const Expr* left, operand());
  while (skip_name(is_and ? "and" : "or")) {
    const Reach reach(*this, soft_, false);
    TRY(const Expr* right, operand());
    left = make(line, Logical{is_and, left, right});
  }
  return left;
}

Parser::ExprResult Parser::negation() {
  const Nesting nesting(depth_);
  if (depth_ > kMaxParseDepth) return fail("the expression is nested too deep");
  const int line = current().line;
  if (!skip_name("not")) return comparison();
  TRY(const Expr* operand, negation());
  return make(line, Not{operand});
}

Parser::ExprResult Parser::comparison() {
  const int line = current().line;
  TRY(const Expr* first, binary(0));
  Compare node{first, {}};
  for (;;) {
    const auto* spelling =
        std::find_if(kCompareOps.begin(), kCompareOps.end(),
                     [this](const Spelling<CompareOp>& s) { return is_op(s.text); });
    CompareOp op = CompareOp::kIn;
    if (spelling != kCompareOps.end()) {
      op = spelling->op;
    } else if (is_name("not") && ahead(1).kind == TokenKind::kName && ahead(1).text == "in") {
      op = CompareOp::kNotIn;
      next();
    } else if (!is_name("in")) {
      break;
    }
    next();
    TRY(const Expr* right, binary(0));
    node.rest.emplace_back(op, right);
  }
  return node.rest.empty() ? first : make(line, std::move(node));
}

Parser::ExprResult Parser::binary(int level) {
  if (level == kLevels) return unary(true);
  const int line = current().line;
  TRY(const Expr* left, binary(level + 1));
  for (;;) {
    const auto& ops = kBinaryOps[level];
    const auto* spelling = std::find_if(
        ops.begin(), ops.end(),
        [this](const Spelling<BinaryOp>& s) { return !s.text.empty() && is_op(s.text); });
    if (spelling == ops.end()) return left;
    next();
    TRY(const Expr* right, binary(level + 1));
    left = make(line, Binary{spelling->op, left, right});
  }
}

Parser::ExprResult Parser::unary(bool with_filters) {
  const Nesting nesting(depth_);
  if (depth_ > kMaxParseDepth) return fail("the expression is nested too deep");
  const int line = current().line;
  const Expr* value = nullptr;
  if (skip_op("-")) {
    TRY(const Expr* operand, unary(false));
    value = make(line, Negate{operand});
  } else if (skip_op("+")) {
    TRY(const Expr* operand, unary(false));
    value = make(line, Negate{make(line, Negate{operand})});
  } else {
    TRY(value, primary());
  }
  TRY(value, postfix(value));
  if (!with_filters) return value;
  return filters_and_tests(value);
}

Parser::ExprResult Parser::primary() {
  const Token token = current();
  const auto literal = [&](Value value) { return make(token.line, Literal{std::move(value)}); };
  switch (token.kind) {
    case TokenKind::kName:
      next();
      if (token.text == "true" || token.text == "True") return literal(Value::boolean(true));
      if (token.text == "false" || token.text == "False") return literal(Value::boolean(false));
      if (token.text == "none" || token.text == "None") return literal(Value::none());
      n_caller_ += token.text == "caller" ? 1 : 0;
      n_kwargs_ += token.text == "kwargs" ? 1 : 0;
      n_varargs_ += token.text == "varargs" ? 1 : 0;
      return make(token.line, NameRef{token.text});
    case TokenKind::kString: {
      std::string text;
      for (; current().kind == TokenKind::kString; next()) text += current().text;
      return literal(Value::own_string(std::move(text)));
    }
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return literal_number();
    default:
      break;
  }
  if (skip_op("(")) return parenthesized();
  if (skip_op("[")) return list_literal();
  if (skip_op("{")) return dict_literal();
  return unexpected("an expression");
}

Parser::ExprResult Parser::literal_number() {
  const Token token = current();
  const char* end = token.text.data() + token.text.size();
  Value value;
  if (token.kind == TokenKind::kInteger) {
    int64_t integer = 0;
    const auto parsed = std::from_chars(token.text.data(), end, integer);
    if (parsed.ec != std::errc()) return fail("the number " + token.text + " is too large");
    value = Value::integer(integer);
  } else {
    double real = 0;
    const auto parsed = std::from_chars(token.text.data(), end, real);
    if (parsed.ec != std::errc()) return fail("the number " + token.text + " is out of range");
    value = Value::real(real);
  }
  next();
  return make(token.line, Literal{std::move(value)});
}

Parser::ExprResult Parser::parenthesized() {
  const int line = current().line;
  if (skip_op(")")) return make(line, ListExpr{{}, true});
  TRY(const Expr* inner, tuple(true));
  TRY([[maybe_unused]] const Ok closed, expect_op(")"));
  return inner;
}

Parser::ExprResult Parser::list_literal() {
  const int line = current().line;
  ListExpr list{{}, false};
  while (!skip_op("]")) {
    if (!list.items.empty()) {
      TRY([[maybe_unused]] const Ok separated, expect_op(","));
      if (skip_op("]")) break;
    }
    TRY(const Expr* item, expression());
    list.items.push_back(item);
  }
  return make(line, std::move(list));
}

Parser::ExprResult Parser::dict_literal() {
  const int line = current().line;
  DictExpr dict;
  while (!skip_op("}")) {
    if (!dict.items.empty()) {
      TRY([[maybe_unused]] const Ok separated, expect_op(","));
      if (skip_op("}")) break;
    }
    TRY(const Expr* key, expression());
    TRY([[maybe_unused]] const Ok colon, expect_op(":"));
    TRY(const Expr* value, expression());
    dict.items.emplace_back(key, value);
  }
  return make(line, std::move(dict));
}

Parser::ExprResult Parser::call(const Expr* callee) {
  const int line = current().line;
  if (const auto* name = std::get_if<NameRef>(&callee->node)) note_call(name->name);
  TRY(Arguments args, arguments());
  return make(line, Call{callee, std::move(args)});
}

// .name, [index] and (arguments), any number of them.
Parser::ExprResult Parser::postfix(const Expr* object) {
  for (;;) {
    if (skip_op(".")) {
      TRY(object, member(object));
    } else if (skip_op("[")) {
      TRY(object, subscript(object));
    } else if (skip_op("(")) {
      TRY(object, call(object));
    } else {
      return object;
    }
  }
}

Parser::ExprResult Parser::member(const Expr* object) {
  const int line = current().line;
  if (current().kind == TokenKind::kInteger) {  // a.0 is a[0]
    TRY(const Expr* index, literal_number());
    return make(line, Subscript{object, index});
  }
  TRY(std::string name, expect_name());
  return make(line, Attribute{object, std::move(name)});
}

// [i] or [start:stop:step], each part optional.
Parser::ExprResult Parser::subscript(const Expr* object) {
  const int line = current().line;
  std::array<const Expr*, 3> parts = {};
  size_t n_colons = 0;
  for (;; ++n_colons) {
    if (!is_op(":") && !is_op("]")) {
      TRY(parts[n_colons], tuple(true));
    }
    if (n_colons == 2 || !skip_op(":")) break;
  }
  TRY([[maybe_unused]] const Ok closed, expect_op("]"));
  if (n_colons > 0) return make(line, Slice{object, parts[0], parts[1], parts[2]});
  if (parts[0] == nullptr) return fail("expected an index before ']'");
  return make(line, Subscript{object, parts[0]});
}

Parser::ExprResult Parser::filters_and_tests(const Expr* input) {
  for (;;) {
    const int line = current().line;
    if (skip_op("|")) {
      TRY(Filter node, filter(input));
      input = make(line, std::move(node));
    } else if (skip_name("is")) {
      TRY(input, test(input));
    } else if (skip_op("(")) {  // x | f(a)(b): calls the result of the filter
      TRY(input, call(input));
    } else {
      return input;
    }
  }
}

Result<Filter> Parser::filter(const Expr* input) {
  Filter node{input, {}, {}};
  if (current().kind == TokenKind::kName && !has_filter(current().text)) {
    note_unknown("filter", current().text);
  }
  TRY(node.name, expect_name());
  if (skip_op("(")) {
    TRY(node.arguments, arguments());
  }
  return node;
}

// x is [not] name, name(arguments) or name argument
Parser::ExprResult Parser::test(const Expr* input) {
  const int line = current().line;
  Test node{input, {}, {}, skip_name("not")};
  if (current().kind == TokenKind::kName && !has_test(current().text)) {
    note_unknown("test", current().text);
  }
  TRY(node.name, expect_name());
  if (skip_op("(")) {
    TRY(node.arguments, arguments());
    return make(line, std::move(node));
  }
  if (is_name("is")) return fail("tests with 'is' cannot be chained");
  static constexpr std::array<std::string_view, 7> kNoArgument = {"else", "or", "and", "if",
                                                                  "is",   "in", "not"};
  const TokenKind kind = current().kind;
  const bool takes_name =
      kind == TokenKind::kName &&
      std::find(kNoArgument.begin(), kNoArgument.end(), current().text) == kNoArgument.end();
  const bool takes_literal = kind == TokenKind::kString || kind == TokenKind::kInteger ||
                             kind == TokenKind::kFloat || is_op("[") || is_op("{");
  if (takes_name || takes_literal) {
    TRY(const Expr* argument, primary());
    TRY(argument, postfix(argument));
    node.arguments.positional.push_back(argument);
  }
  return make(line, std::move(node));
}

Result<Arguments> Parser::arguments() {
  Arguments out;
  bool first = true;
  while (!skip_op(")")) {
    if (!std::exchange(first, false)) {
      TRY([[maybe_unused]] const Ok separated, expect_op(","));
      if (skip_op(")")) break;
    }
    if (skip_op("*")) {
      if (out.more_positional != nullptr || out.more_named != nullptr) return fail("a second *");
      TRY(out.more_positional, expression());
      continue;
    }
    if (skip_op("**")) {
      if (out.more_named != nullptr) return fail("a second **");
      TRY(out.more_named, expression());
      continue;
    }
    const bool named = current().kind == TokenKind::kName &&
                       ahead(1).kind == TokenKind::kOperator && ahead(1).text == "=";
    const bool positional_ends =
        !out.named.empty() || out.more_positional != nullptr || out.more_named != nullptr;
    if (!named && positional_ends) return fail("a positional argument after a named one");
    if (named && out.more_named != nullptr) return fail("a named argument after **");
    std::string name;
    if (named) {
      name = current().text;
      next();
      next();
    }
    TRY(const Expr* value, expression());
    if (named) {
      out.named.emplace_back(std::move(name), value);
    } else {
      out.positional.push_back(value);
    }
  }
  return out;
}

}  // namespace lockstep::jinja
