#include "node/text/jinja/syntax/parser.h"

#include <algorithm>

#include "node/text/jinja/builtins/builtins.h"
#include "node/text/jinja/values/nesting.h"

namespace lockstep::jinja {

Result<std::unique_ptr<const Template>> parse_template(std::string_view source) {
  TRY(std::vector<Token> tokens, tokenize(source));
  return Parser(std::move(tokens)).run();
}

Result<std::unique_ptr<const Template>> Parser::run() {
  TRY(template_->body, block({}));
  if (const auto unknown = first_unknown()) return *unknown;
  return std::unique_ptr<const Template>(std::move(template_));
}

// ---- tokens

bool Parser::skip_op(std::string_view op) {
  if (!is_op(op)) return false;
  next();
  return true;
}

bool Parser::skip_name(std::string_view name) {
  if (!is_name(name)) return false;
  next();
  return true;
}

Error Parser::fail(std::string message) const {
  return syntax_error(current().line, current().column, std::move(message));
}

Error Parser::unexpected(std::string_view wanted) const {
  std::string found = "'" + current().text + "'";
  if (current().kind == TokenKind::kEnd) found = "the end of the template";
  if (current().kind == TokenKind::kBlockEnd) found = "'%}'";
  if (current().kind == TokenKind::kOutputEnd) found = "'}}'";
  return fail("expected " + std::string(wanted) + ", found " + found);
}

Status Parser::expect_op(std::string_view op) {
  if (!skip_op(op)) return unexpected("'" + std::string(op) + "'");
  return Ok{};
}

Status Parser::expect_kind(TokenKind kind, std::string_view what) {
  if (current().kind != kind) return unexpected(what);
  next();
  return Ok{};
}

Result<std::string> Parser::expect_name() {
  if (current().kind != TokenKind::kName) return unexpected("a name");
  std::string name = current().text;
  next();
  return name;
}

// ---- unknown filters, tests and functions

Parser::Reach::Reach(Parser& parser, bool is_soft, bool is_certain)
    : parser_(parser), was_soft_(parser.soft_), was_certain_(parser.certain_) {
  parser.soft_ = is_soft;
  parser.certain_ = parser.certain_ && is_certain;
}

Parser::Reach::~Reach() {
  parser_.soft_ = was_soft_;
  parser_.certain_ = was_certain_;
}

void Parser::note_unknown(std::string_view what, std::string_view name) {
  if (soft_) return;
  unknown_.push_back(
      {"", fail("there is no " + std::string(what) + " '" + std::string(name) + "'")});
}

void Parser::note_call(const std::string& name) {
  if (!certain_ || find_function(name)) return;
  unknown_.push_back({name, fail("there is no function '" + name + "'")});
}

std::optional<Error> Parser::first_unknown() const {
  for (const Unknown& unknown : unknown_) {
    if (unknown.function.empty() || assigned_.count(unknown.function) == 0) return unknown.error;
  }
  return std::nullopt;
}

// ---- statements

Result<Block> Parser::block(std::vector<std::string_view> end_tags) {
  const Nesting nesting(depth_);
  if (depth_ > kMaxParseDepth) return fail("blocks are nested too deep");
  Block out;
  for (;;) {
    const Token token = current();
    if (token.kind == TokenKind::kEnd) {
      if (!end_tags.empty()) return unexpected("{% " + std::string(end_tags.back()) + " %}");
      return out;
    }
    next();
    if (token.kind == TokenKind::kText) {
      out.push_back({Text{token.text}, token.line});
    } else if (token.kind == TokenKind::kOutputBegin) {
      TRY(const Expr* value, tuple(true));
      TRY([[maybe_unused]] const Ok closed, expect_kind(TokenKind::kOutputEnd, "'}}'"));
      out.push_back({Output{value}, token.line});
    } else {
      const auto ends = [this](std::string_view tag) { return is_name(tag); };
      if (std::any_of(end_tags.begin(), end_tags.end(), ends)) return out;
      TRY([[maybe_unused]] const Ok appended, append_tag(out));
    }
  }
}

// Parses a tag from after its {% to its %}, or to its end tag if it has one.
Status Parser::append_tag(Block& out) {
  const int line = current().line;
  const auto append = [&](StmtResult stmt) -> Status {
    if (!stmt) return std::move(stmt.error());
    out.push_back(*std::move(stmt));
    out.back().line = line;
    return Ok{};
  };
  const auto append_simple = [&](auto node) -> Status {
    if (loop_depth_ == 0) return fail("break or continue outside a loop");
    next();
    out.push_back({node, line});
    return expect_kind(TokenKind::kBlockEnd, "'%}'");
  };
  if (is_name("break")) return append_simple(Break{});
  if (is_name("continue")) return append_simple(Continue{});
  if (skip_name("if")) return append(if_statement());
  if (skip_name("for")) return append(for_statement());
  if (skip_name("set")) return append(set_statement());
  if (skip_name("filter")) return append(filter_statement());
  if (skip_name("macro")) return append(macro_statement());
  if (skip_name("call")) return append(call_statement());
  if (skip_name("with")) return append(with_statement());
  if (skip_name("generation")) return append(generation_statement());
  return unexpected("a tag that this interpreter knows");
}

Status Parser::end_tag(std::string_view name) {
  if (!skip_name(name)) return unexpected(name);
  return expect_kind(TokenKind::kBlockEnd, "'%}'");
}

Parser::StmtResult Parser::if_statement() {
  const Reach reach(*this, true, false);
  If node;
  bool is_else = false;
  do {
    const Expr* condition = nullptr;
    if (!is_else) {
      TRY(condition, tuple(false));
    }
    TRY([[maybe_unused]] const Ok opened, expect_kind(TokenKind::kBlockEnd, "'%}'"));
    std::vector<std::string_view> ends = {"elif", "else", "endif"};
    if (is_else) ends = {"endif"};
    TRY(Block body, block(std::move(ends)));
    node.branches.push_back({condition, std::move(body)});
    is_else = is_name("else");
  } while (skip_name("elif") || skip_name("else"));
  TRY([[maybe_unused]] const Ok closed, end_tag("endif"));
  return Stmt{std::move(node)};
}

Result<Target> Parser::single_target() {
  const Nesting nesting(depth_);
  if (depth_ > kMaxParseDepth) return fail("the names are nested too deep");
  if (skip_op("(")) {
    TRY(Target inner, target());
    TRY([[maybe_unused]] const Ok closed, expect_op(")"));
    return inner;
  }
  Target out;
  TRY(out.name, expect_name());
  for (const char* fixed : {"true", "false", "none", "True", "False", "None"}) {
    if (out.name == fixed) return fail("cannot set " + out.name);
  }
  if (skip_op(".")) {
    TRY(out.field, expect_name());
  } else {
    assigned_.insert(out.name);
  }
  return out;
}

Result<Target> Parser::target() {
  TRY(Target first, single_target());
  if (!is_op(",")) return first;
  Target out;
  out.is_tuple = true;
  out.parts.push_back(std::move(first));
  while (skip_op(",")) {
    if (is_op(")")) break;  // (a, b,)
    TRY(Target next_target, single_target());
    out.parts.push_back(std::move(next_target));
  }
  return out;
}

bool sets_loop(const Target& target) {
  return target.name == "loop" || std::any_of(target.parts.begin(), target.parts.end(), sets_loop);
}

Parser::StmtResult Parser::for_statement() {
  For node{};
  TRY(node.target, target());
  if (sets_loop(node.target)) return fail("a loop cannot set 'loop'");
  if (!skip_name("in")) return unexpected("'in'");
  TRY(node.iterable, tuple(false));
  const Reach reach(*this, false, false);
  if (skip_name("if")) {
    TRY(node.filter, expression());
  }
  node.is_recursive = skip_name("recursive");
  TRY([[maybe_unused]] const Ok opened, expect_kind(TokenKind::kBlockEnd, "'%}'"));
  {
    const Nesting loop(loop_depth_);
    TRY(node.body, block({"else", "endfor"}));
  }
  if (skip_name("else")) {
    TRY([[maybe_unused]] const Ok else_opened, expect_kind(TokenKind::kBlockEnd, "'%}'"));
    TRY(node.otherwise, block({"endfor"}));
  }
  TRY([[maybe_unused]] const Ok closed, end_tag("endfor"));
  return Stmt{std::move(node)};
}

Parser::StmtResult Parser::set_statement() {
  TRY(Target set, target());
  if (skip_op("=")) {
    Assign node{std::move(set), nullptr};
    TRY(node.value, tuple(true));
    TRY([[maybe_unused]] const Ok closed, expect_kind(TokenKind::kBlockEnd, "'%}'"));
    return Stmt{std::move(node)};
  }
  if (set.is_tuple) return unexpected("'='");
  Capture capture{};
  capture.has_target = true;
  capture.target = std::move(set);
  return capture_block(std::move(capture), "endset");
}

Parser::StmtResult Parser::filter_statement() {
  const Reach reach(*this, false, true);
  Capture capture{};
  TRY(Filter first, filter(nullptr));
  capture.filters.push_back(std::move(first));
  return capture_block(std::move(capture), "endfilter");
}

// Parses the rest of {% set x | f | g %}…{% endset %} or {% filter f | g %}…{% endfilter %}.
Parser::StmtResult Parser::capture_block(Capture capture, std::string_view end) {
  const Reach reach(*this, false, true);
  while (skip_op("|")) {
    TRY(Filter next_filter, filter(nullptr));
    capture.filters.push_back(std::move(next_filter));
  }
  TRY([[maybe_unused]] const Ok opened, expect_kind(TokenKind::kBlockEnd, "'%}' or '='"));
  TRY(capture.body, block({end}));
  TRY([[maybe_unused]] const Ok closed, end_tag(end));
  return Stmt{std::move(capture)};
}

// {% with a = 1, b = 2 %}…{% endwith %}
Parser::StmtResult Parser::with_statement() {
  With node;
  while (current().kind != TokenKind::kBlockEnd) {
    if (!node.values.empty()) {
      TRY([[maybe_unused]] const Ok separated, expect_op(","));
    }
    TRY(Target name, single_target());
    TRY([[maybe_unused]] const Ok equals, expect_op("="));
    TRY(const Expr* value, expression());
    node.values.emplace_back(std::move(name), value);
  }
  next();
  const Reach reach(*this, false, true);
  TRY(node.body, block({"endwith"}));
  TRY([[maybe_unused]] const Ok closed, end_tag("endwith"));
  return Stmt{std::move(node)};
}

// {% generation %}: marks the model's text for training; here only a scope.
Parser::StmtResult Parser::generation_statement() {
  TRY([[maybe_unused]] const Ok opened, expect_kind(TokenKind::kBlockEnd, "'%}'"));
  const Reach reach(*this, false, true);
  With node;
  TRY(node.body, block({"endgeneration"}));
  TRY([[maybe_unused]] const Ok closed, end_tag("endgeneration"));
  return Stmt{std::move(node)};
}

Status Parser::macro_parameters(Macro& macro) {
  while (!skip_op(")")) {
    if (!macro.parameters.empty()) {
      TRY([[maybe_unused]] const Ok separated, expect_op(","));
    }
    Macro::Parameter parameter{};
    TRY(parameter.name, expect_name());
    const bool twice =
        std::any_of(macro.parameters.begin(), macro.parameters.end(),
                    [&](const Macro::Parameter& other) { return other.name == parameter.name; });
    if (twice) return fail("a second parameter '" + parameter.name + "'");
    assigned_.insert(parameter.name);
    if (skip_op("=")) {
      TRY(parameter.fallback, expression());
    } else if (!macro.parameters.empty() && macro.parameters.back().fallback != nullptr) {
      return fail("a parameter without a default after one with a default");
    }
    macro.parameters.push_back(std::move(parameter));
  }
  return Ok{};
}

// Parses a macro from after its parameters.
Status Parser::macro_body(Macro& macro, std::string_view end) {
  TRY([[maybe_unused]] const Ok headed, expect_kind(TokenKind::kBlockEnd, "'%}'"));
  const int loops_outside = std::exchange(loop_depth_, 0);
  const int n_caller = n_caller_, n_kwargs = n_kwargs_, n_varargs = n_varargs_;
  TRY(macro.body, block({end}));
  loop_depth_ = loops_outside;
  const auto takes = [&macro](std::string_view name) {
    return std::any_of(
        macro.parameters.begin(), macro.parameters.end(),
        [name](const Macro::Parameter& parameter) { return parameter.name == name; });
  };
  for (const Macro::Parameter& parameter : macro.parameters) {
    if (parameter.name == "caller" && parameter.fallback == nullptr && n_caller_ > n_caller) {
      return fail("the parameter 'caller' needs a default");
    }
  }
  macro.uses_caller = n_caller_ > n_caller && !takes("caller");
  macro.uses_kwargs = n_kwargs_ > n_kwargs && !takes("kwargs");
  macro.uses_varargs = n_varargs_ > n_varargs && !takes("varargs");
  return end_tag(end);
}

Parser::StmtResult Parser::macro_statement() {
  const Reach reach(*this, false, false);
  Macro macro;
  TRY(macro.name, expect_name());
  assigned_.insert(macro.name);
  TRY([[maybe_unused]] const Ok opened, expect_op("("));
  TRY([[maybe_unused]] const Ok named, macro_parameters(macro));
  TRY([[maybe_unused]] const Ok read, macro_body(macro, "endmacro"));
  return Stmt{std::move(macro)};
}

// {% call(a, b) f(x) %}…{% endcall %}
Parser::StmtResult Parser::call_statement() {
  CallBlock node{};
  node.caller.name = "caller";
  if (skip_op("(")) {
    TRY([[maybe_unused]] const Ok named, macro_parameters(node.caller));
  }
  TRY(node.call, expression());
  if (!std::holds_alternative<Call>(node.call->node)) return fail("expected a call");
  const Reach reach(*this, false, false);
  TRY([[maybe_unused]] const Ok read, macro_body(node.caller, "endcall"));
  return Stmt{std::move(node)};
}

}  // namespace lockstep::jinja
