#include "node/text/jinja/syntax/lexer.h"

#include <algorithm>
#include <array>

#include "node/text/jinja/values/strings.h"

namespace lockstep::jinja {
namespace {

constexpr std::array<std::string_view, 25> kOperators = {
    "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "(",
    ")",  "[",  "]",  "{",  "}",  "<",  ">", "=", ".", ":", "|", ",",
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) { return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_name_char(char c) { return is_name_start(c) || is_digit(c); }

// Normalises line ends as Jinja does: each becomes \n, and one at the very end is dropped.
std::string normalize(std::string_view source) {
  std::string out;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out.push_back('\n');
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out.push_back(source[i]);
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : storage_(normalize(source)), rest_(storage_) {}
  Result<std::vector<Token>> run();

 private:
  Status text_until_tag();
  Status comment();
  Status raw();
  bool at_raw() const;
  Status inside(bool is_block);
  Status operand();
  Status string_literal();
  bool prefixed_number();
  void number();
  void add_text(std::string_view text, char tag, char sign);
  bool skip_end(std::string_view closing, bool trims);

  Error fail(std::string message) const { return syntax_error(line_, column_, std::move(message)); }
  void emit(TokenKind kind, std::string text) {
    tokens_.push_back({kind, std::move(text), line_, column_});
  }
  void advance(size_t n_bytes);
  size_t n_space() const { return rest_.size() - strip_left(rest_, {}).size(); }

  std::string storage_;
  std::string_view rest_;  // the part not read yet; a view of storage_
  int line_ = 1, column_ = 1;
  bool line_starting_ = true;  // the text before rest_ ends with a newline
  std::vector<Token> tokens_;
};

void Lexer::advance(size_t n_bytes) {
  for (const char c : rest_.substr(0, n_bytes)) {
    if (c == '\n') {
      ++line_;
      column_ = 1;
    } else if ((c & 0xC0) != 0x80) {
      ++column_;
    }
  }
  if (n_bytes > 0) line_starting_ = rest_[n_bytes - 1] == '\n';
  rest_.remove_prefix(n_bytes);
}

// Emits the text before a tag, without the white space that the tag strips. tag: '{' output,
// '%' block, '#' comment.
void Lexer::add_text(std::string_view text, char tag, char sign) {
  const size_t n_read = text.size();
  if (sign == '-') {
    text = strip_right(text, {});
  } else if (sign != '+' && tag != '{') {
    const size_t line_begin = text.rfind('\n') + 1;  // npos + 1 = 0
    const bool blank = strip_left(text.substr(line_begin), {}).empty();
    if (blank && (line_begin > 0 || line_starting_)) text = text.substr(0, line_begin);
  }
  if (!text.empty()) emit(TokenKind::kText, std::string(text));
  advance(n_read);
}

Status Lexer::text_until_tag() {
  size_t at = 0;
  do {
    at = rest_.find('{', at);
    if (at == rest_.npos || at + 1 == rest_.size()) {
      if (!rest_.empty()) emit(TokenKind::kText, std::string(rest_));
      advance(rest_.size());
      return Ok{};
    }
  } while (std::string_view("{%#").find(rest_[++at]) == std::string_view::npos);
  const char tag = rest_[at];
  const char sign = at + 1 < rest_.size() ? rest_[at + 1] : ' ';
  add_text(rest_.substr(0, at - 1), tag, sign);
  if (tag == '#') return comment();
  if (tag == '%' && at_raw()) return raw();
  emit(tag == '{' ? TokenKind::kOutputBegin : TokenKind::kBlockBegin, {});
  advance(sign == '-' || sign == '+' ? 3 : 2);
  return inside(tag == '%');
}

// Reads "-%}", "+%}" or "%}" and the white space that it strips, if the end of the tag comes next.
bool Lexer::skip_end(std::string_view closing, bool trims) {
  const bool minus = rest_.substr(0, 1) == "-" && rest_.substr(1, 2) == closing;
  const bool plus = trims && rest_.substr(0, 1) == "+" && rest_.substr(1, 2) == closing;
  if (!minus && !plus && rest_.substr(0, 2) != closing) return false;
  advance(minus || plus ? 3 : 2);
  if (minus) {
    advance(n_space());
  } else if (trims && !plus && rest_.substr(0, 1) == "\n") {
    advance(1);
  }
  return true;
}

Status Lexer::comment() {
  const int line = line_, column = column_;
  const size_t n_begin = rest_.size() > 2 && (rest_[2] == '-' || rest_[2] == '+') ? 3 : 2;
  advance(n_begin);
  const size_t closing = rest_.find("#}");
  if (closing == rest_.npos) return syntax_error(line, column, "comment without an end");
  const bool has_sign = closing > 0 && (rest_[closing - 1] == '-' || rest_[closing - 1] == '+');
  advance(has_sign ? closing - 1 : closing);
  skip_end("#}", true);
  return Ok{};
}

// If `text` begins with {%- name, the number of bytes up to the closing sign; else npos.
size_t match_tag(std::string_view text, std::string_view name) {
  if (text.substr(0, 2) != "{%") return text.npos;
  size_t at = text.size() > 2 && (text[2] == '-' || text[2] == '+') ? 3 : 2;
  at = text.size() - strip_left(text.substr(at), {}).size();
  if (text.substr(at, name.size()) != name) return text.npos;
  at += name.size();
  return text.size() - strip_left(text.substr(at), {}).size();
}

bool Lexer::at_raw() const {
  const size_t end = match_tag(rest_, "raw");
  if (end == rest_.npos) return false;
  return rest_.substr(end, 2) == "%}" || rest_.substr(end, 3) == "-%}";
}

Status Lexer::raw() {
  const Error unclosed = fail("raw block without an end");
  advance(match_tag(rest_, "raw"));
  skip_end("%}", false);  // {% raw %} alone keeps the newline after it
  for (size_t at = rest_.find("{%"); at != rest_.npos; at = rest_.find("{%", at + 1)) {
    const size_t n_tag = match_tag(rest_.substr(at), "endraw");
    if (n_tag == rest_.npos) continue;
    add_text(rest_.substr(0, at), '%', rest_[at + 2]);
    advance(n_tag);
    if (!skip_end("%}", true)) return fail("expected %} after endraw");
    return Ok{};
  }
  return unclosed;
}

// The tokens between {{ and }}, or {% and %}.
Status Lexer::inside(bool is_block) {
  const std::string_view closing = is_block ? "%}" : "}}";
  std::string open;  // open brackets
  for (;;) {
    advance(n_space());
    if (rest_.empty()) return fail("the template ends inside a tag");
    const int line = line_, column = column_;
    if (open.empty() && skip_end(closing, is_block)) {
      tokens_.push_back(
          {is_block ? TokenKind::kBlockEnd : TokenKind::kOutputEnd, {}, line, column});
      return Ok{};
    }
    const char c = rest_.front();
    if (c == '(' || c == '[' || c == '{') open.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty() || open.back() != c) return fail(std::string("unexpected '") + c + "'");
      open.pop_back();
    }
    TRY([[maybe_unused]] const Ok read, operand());
  }
}

Status Lexer::operand() {
  const char c = rest_.front();
  if (c == '\'' || c == '"') return string_literal();
  if (is_digit(c)) {
    number();
    return Ok{};
  }
  if (is_name_start(c)) {
    const auto* end = std::find_if_not(rest_.begin(), rest_.end(), is_name_char);
    emit(TokenKind::kName, std::string(rest_.begin(), end));
    advance(tokens_.back().text.size());
    return Ok{};
  }
  for (const std::string_view op : kOperators) {
    if (rest_.substr(0, op.size()) != op) continue;
    emit(TokenKind::kOperator, std::string(op));
    advance(op.size());
    return Ok{};
  }
  return fail("unexpected character '" + std::string(rest_.substr(0, char_bytes(rest_))) + "'");
}

Status Lexer::string_literal() {
  size_t end = 1;
  while (end < rest_.size() && rest_[end] != rest_.front()) end += rest_[end] == '\\' ? 2 : 1;
  if (end >= rest_.size()) return fail("string without an end");
  emit(TokenKind::kString, unescape(rest_.substr(1, end - 1)));
  advance(end + 1);
  return Ok{};
}

// Reads 0x1F, 0o17 or 0b11, with _ between the digits; false = the number has no such prefix.
bool Lexer::prefixed_number() {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  if (rest_.size() < 3 || rest_[0] != '0') return false;
  const char letter = static_cast<char>(rest_[1] | 0x20);
  const unsigned base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
  uint64_t value = 0;
  size_t end = 2;
  const auto digit_at = [&](size_t at) {
    if (at >= rest_.size()) return kDigits.npos;
    const char c = rest_[at];
    return kDigits.substr(0, base).find(c >= 'A' && c <= 'F' ? static_cast<char>(c | 0x20) : c);
  };
  for (;; ++end) {
    if (end < rest_.size() && rest_[end] == '_' && digit_at(end + 1) != kDigits.npos) ++end;
    const size_t digit = digit_at(end);
    if (digit == kDigits.npos) break;
    if (__builtin_mul_overflow(value, base, &value)) value = UINT64_MAX;  // the parser refuses it
    value = value > UINT64_MAX - digit ? UINT64_MAX : value + digit;
  }
  if (base == 0 || end == 2) return false;
  emit(TokenKind::kInteger, std::to_string(value));
  advance(end);
  return true;
}

// Reads digits with _ between them; a fraction or an exponent makes a float.
void Lexer::number() {
  if (prefixed_number()) return;
  size_t end = 0;
  const auto digits = [&](size_t from) {
    size_t at = from;
    while (at < rest_.size() &&
           (is_digit(rest_[at]) ||
            (at > from && rest_[at] == '_' && at + 1 < rest_.size() && is_digit(rest_[at + 1])))) {
      ++at;
    }
    return at;
  };
  end = digits(0);
  bool is_float = false;
  const bool after_dot = !tokens_.empty() && tokens_.back().text == ".";  // a.0.1 is two indices
  if (!after_dot && end < rest_.size() && rest_[end] == '.' && digits(end + 1) > end + 1) {
    is_float = true;
    end = digits(end + 1);
  }
  if (!after_dot && end < rest_.size() && (rest_[end] == 'e' || rest_[end] == 'E')) {
    size_t exponent = end + 1;
    if (exponent < rest_.size() && (rest_[exponent] == '+' || rest_[exponent] == '-')) ++exponent;
    if (digits(exponent) > exponent) {
      is_float = true;
      end = digits(exponent);
    }
  }
  std::string text(rest_.substr(0, end));
  text.erase(std::remove(text.begin(), text.end(), '_'), text.end());
  emit(is_float ? TokenKind::kFloat : TokenKind::kInteger, std::move(text));
  advance(end);
}

Result<std::vector<Token>> Lexer::run() {
  while (!rest_.empty()) {
    TRY([[maybe_unused]] const Ok read, text_until_tag());
  }
  emit(TokenKind::kEnd, {});
  return std::move(tokens_);
}

}  // namespace

Error syntax_error(int line, int column, std::string message) {
  return Error{ErrorCode::kModelLoadFailed,
               "chat template, line " + std::to_string(line) + " column " + std::to_string(column) +
                   ": " + std::move(message),
               {}};
}

Result<std::vector<Token>> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace lockstep::jinja
