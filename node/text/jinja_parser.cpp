#include "node/text/jinja_parser.h"

#include <algorithm>

#include "node/text/jinja_nesting.h"

namespace lockstep::jinja {

Result<std::unique_ptr<const Template>> parse_template(std::string_view source) {
  TRY(std::vector<Token> tokens, tokenize(source));
  return Parser(std::move(tokens)).run();
}

Result<std::unique_ptr<const Template>> Parser::run() {
  TRY(template_->body, block({}));
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

// Everything from after {% to %}, and to the end tag where there is one.
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
  if (skip_name("generation")) {  // marks what the model says, for training; here just its body
    TRY([[maybe_unused]] const Ok opened, expect_kind(TokenKind::kBlockEnd, "'%}'"));
    TRY(Block body, block({"endgeneration"}));
    std::move(body.begin(), body.end(), std::back_inserter(out));
    return end_tag("endgeneration");
  }
  return unexpected("a tag that this interpreter knows");
}

Status Parser::end_tag(std::string_view name) {
  if (!skip_name(name)) return unexpected(name);
  return expect_kind(TokenKind::kBlockEnd, "'%}'");
}

Parser::StmtResult Parser::if_statement() {
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

Result<std::vector<std::string>> Parser::target_names() {
  std::vector<std::string> names;
  const bool bracketed = skip_op("(");
  do {
    if (!names.empty() && (is_name("in") || is_op("=") || is_op(")"))) break;  // a, = …
    TRY(std::string name, expect_name());
    if (name == "true" || name == "false" || name == "none") return fail("cannot set " + name);
    names.push_back(std::move(name));
  } while (skip_op(","));
  if (bracketed) {
    TRY([[maybe_unused]] const Ok closed, expect_op(")"));
  }
  return names;
}

Parser::StmtResult Parser::for_statement() {
  For node{};
  TRY(node.targets, target_names());
  if (std::count(node.targets.begin(), node.targets.end(), "loop") > 0) {
    return fail("a loop cannot set 'loop'");
  }
  if (!skip_name("in")) return unexpected("'in'");
  TRY(node.iterable, tuple(false));
  if (skip_name("if")) {
    TRY(node.filter, expression());
  }
  skip_name("recursive");  // allowed, but loop() cannot be called
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
  Assign node{};
  TRY(node.targets, target_names());
  if (node.targets.size() == 1 && skip_op(".")) {
    TRY(node.field, expect_name());
  }
  if (skip_op("=")) {
    TRY(node.value, tuple(true));
    TRY([[maybe_unused]] const Ok closed, expect_kind(TokenKind::kBlockEnd, "'%}'"));
    return Stmt{std::move(node)};
  }
  if (node.targets.size() != 1 || !node.field.empty()) return unexpected("'='");
  return capture_block({node.targets[0], {}, {}}, "endset");
}

Parser::StmtResult Parser::filter_statement() {
  Capture capture;
  TRY(Filter first, filter(nullptr));
  capture.filters.push_back(std::move(first));
  return capture_block(std::move(capture), "endfilter");
}

// The rest of {% set x | f | g %}…{% endset %} or {% filter f | g %}…{% endfilter %}.
Parser::StmtResult Parser::capture_block(Capture capture, std::string_view end) {
  while (skip_op("|")) {
    TRY(Filter next_filter, filter(nullptr));
    capture.filters.push_back(std::move(next_filter));
  }
  TRY([[maybe_unused]] const Ok opened, expect_kind(TokenKind::kBlockEnd, "'%}' or '='"));
  TRY(capture.body, block({end}));
  TRY([[maybe_unused]] const Ok closed, end_tag(end));
  return Stmt{std::move(capture)};
}

Parser::StmtResult Parser::macro_statement() {
  Macro macro;
  TRY(macro.name, expect_name());
  TRY([[maybe_unused]] const Ok opened, expect_op("("));
  while (!skip_op(")")) {
    if (!macro.parameters.empty()) {
      TRY([[maybe_unused]] const Ok separated, expect_op(","));
    }
    Macro::Parameter parameter{};
    TRY(parameter.name, expect_name());
    if (skip_op("=")) {
      TRY(parameter.fallback, expression());
    }
    macro.parameters.push_back(std::move(parameter));
  }
  TRY([[maybe_unused]] const Ok headed, expect_kind(TokenKind::kBlockEnd, "'%}'"));
  const int loops_outside = std::exchange(loop_depth_, 0);
  TRY(macro.body, block({"endmacro"}));
  loop_depth_ = loops_outside;
  TRY([[maybe_unused]] const Ok closed, end_tag("endmacro"));
  return Stmt{std::move(macro)};
}

}  // namespace lockstep::jinja
