// Lexer: turns the source of a chat template into tokens. Handles all of Jinja's white space rules:
// {%- -%}, {%+ +%}, and, as Hugging Face sets them, trim_blocks (a block or comment removes the
// newline after it) and lstrip_blocks (and the indent before it). Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace lockstep::jinja {

enum class TokenKind {
  kText,         // written out as it is
  kOutputBegin,  // {{
  kOutputEnd,    // }}
  kBlockBegin,   // {%
  kBlockEnd,     // %}
  kName,
  kString,  // without its quotes, escapes resolved
  kInteger,
  kFloat,
  kOperator,
  kEnd,  // end of the source; always the last token
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;
  int line = 1, column = 1;  // position of the first character
};

// Every syntax error: "line 3 column 14: <message>".
Error syntax_error(int line, int column, std::string message);

Result<std::vector<Token>> tokenize(std::string_view source);

}  // namespace lockstep::jinja
