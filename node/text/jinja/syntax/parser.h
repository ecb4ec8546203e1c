// Parser: turns the tokens of a chat template into its syntax tree, by recursive descent along
// Jinja's own grammar. Statements are in parser.cpp, expressions in expression_parser.cpp. Syntax
// errors are: tags that it does not know (include, import, extends, block, autoescape), filters and
// tests that do not exist, and calls of functions that do not exist, if every render makes the
// call.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "node/text/jinja/syntax/ast.h"
#include "node/text/jinja/syntax/lexer.h"

namespace lockstep::jinja {

// Error: kModelLoadFailed, with line and column.
Result<std::unique_ptr<const Template>> parse_template(std::string_view source);

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}
  Result<std::unique_ptr<const Template>> run();

 private:
  using ExprResult = Result<const Expr*>;
  using StmtResult = Result<Stmt>;

  // Statements.
  Result<Block> block(std::vector<std::string_view> end_tags);  // stops after the {% of an end tag
  Status append_tag(Block& out);
  StmtResult if_statement();
  StmtResult for_statement();
  StmtResult set_statement();
  StmtResult capture_block(Capture capture, std::string_view end_tag);
  StmtResult filter_statement();
  StmtResult with_statement();
  StmtResult generation_statement();
  StmtResult macro_statement();
  StmtResult call_statement();
  Status macro_parameters(Macro& macro);  // after the opening parenthesis
  Status macro_body(Macro& macro, std::string_view end_tag);
  Result<Target> target();  // a name, or several separated by commas
  Result<Target> single_target();
  Status end_tag(std::string_view name);

  // Expressions, loosest first.
  ExprResult expression();
  ExprResult tuple(bool with_condition);  // a, b, c or just a
  ExprResult conditional();
  ExprResult logical(bool is_and);
  ExprResult negation();
  ExprResult comparison();
  ExprResult binary(int level);
  ExprResult unary(bool with_filters);
  ExprResult primary();
  ExprResult literal_number();
  ExprResult parenthesized();
  ExprResult list_literal();
  ExprResult dict_literal();
  ExprResult postfix(const Expr* object);
  ExprResult member(const Expr* object);
  ExprResult subscript(const Expr* object);
  ExprResult filters_and_tests(const Expr* input);
  Result<Filter> filter(const Expr* input);
  ExprResult call(const Expr* callee);  // after the opening parenthesis
  ExprResult test(const Expr* input);
  Result<Arguments> arguments();  // after the opening parenthesis

  // Tokens.
  const Token& current() const { return tokens_[at_]; }
  const Token& ahead(size_t n) const { return tokens_[std::min(at_ + n, tokens_.size() - 1)]; }
  void next() { at_ += at_ + 1 < tokens_.size() ? 1 : 0; }
  bool is_op(std::string_view op) const { return is(TokenKind::kOperator, op); }
  bool is_name(std::string_view name) const { return is(TokenKind::kName, name); }
  bool is(TokenKind kind, std::string_view text) const {
    return current().kind == kind && current().text == text;
  }
  bool skip_op(std::string_view op);
  bool skip_name(std::string_view name);
  Status expect_op(std::string_view op);
  Status expect_kind(TokenKind kind, std::string_view what);
  Result<std::string> expect_name();
  Error fail(std::string message) const;

  // A filter, test or function that does not exist. Inside an if or a conditional expression, Jinja
  // leaves an unknown filter or test to the render, since the template may have checked for it; but
  // not in a block inside the if.
  struct Unknown {
    std::string function;  // empty = a filter or a test
    Error error;
  };
  void note_unknown(std::string_view what, std::string_view name);
  void note_call(const std::string& name);
  std::optional<Error> first_unknown() const;
  // Sets soft_ and certain_ for a block, as long as this object exists.
  class Reach {
   public:
    Reach(Parser& parser, bool is_soft, bool is_certain);
    ~Reach();
    Reach(const Reach&) = delete;
    Reach& operator=(const Reach&) = delete;

   private:
    Parser& parser_;
    const bool was_soft_, was_certain_;
  };
  Error unexpected(std::string_view wanted) const;

  template <class Node>
  const Expr* make(int line, Node node) {
    return &template_->exprs.emplace_back(Expr{std::move(node), line});
  }

  std::vector<Token> tokens_;  // the last one is kEnd
  size_t at_ = 0;
  int depth_ = 0;        // brackets, signs and blocks around the current token
  int loop_depth_ = 0;   // loops around it, within its macro
  bool soft_ = false;    // directly inside an if: the render reports unknown filters and tests
  bool certain_ = true;  // no if, loop or macro around it
  std::vector<Unknown> unknown_;
  std::set<std::string, std::less<>> assigned_;  // every name that the template sets
  // The number of uses of caller, kwargs and varargs.
  int n_caller_ = 0, n_kwargs_ = 0, n_varargs_ = 0;
  std::unique_ptr<Template> template_ = std::make_unique<Template>();
};

}  // namespace lockstep::jinja
