// Lexer: the source of a chat template to tokens. Does here all that Jinja does about white space:
// {%- -%}, {%+ +%}, and, as Hugging Face sets them, trim_blocks (a block or comment swallows the
// newline after it) and lstrip_blocks (and the indent before it). Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace lockstep::jinja {

enum class TokenKind {
  kText,         // to be written out as it is
  kOutputBegin,  // {{
  kOutputEnd,    // }}
  kBlockBegin,   // {%
  kBlockEnd,     // %}
  kName,
  kString,  // without its quotes, escapes resolved
  kInteger,
  kFloat,
  kOperator,
  kEnd,  // of the source; always the last token
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;
  int line = 1, column = 1;  // of the first character
};

// "line 3 column 14: <message>", the error of every kind of bad syntax.
Error syntax_error(int line, int column, std::string message);

Result<std::vector<Token>> tokenize(std::string_view source);

}  // namespace lockstep::jinja
