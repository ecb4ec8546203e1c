// A value as Python's str() and repr() write it (value.h).
#include "common/text/utf8.h"
#include "node/text/jinja/values/number_text.h"
#include "node/text/jinja/values/strings.h"
#include "node/text/jinja/values/unicode.h"
#include "node/text/jinja/values/value.h"

namespace lockstep::jinja {
namespace {

void append_hex(char32_t value, int n_digits, std::string& out) {
  for (int shift = 4 * (n_digits - 1); shift >= 0; shift -= 4) {
    out.push_back("0123456789abcdef"[value >> shift & 0xF]);
  }
}

void append_repr_char(std::string_view character, char quote, std::string& out) {
  const utf8::Step step = utf8::next(character);
  const bool whole = step.state == utf8::State::kChar;
  const char32_t code_point = whole ? step.code_point : static_cast<uint8_t>(character[0]);
  const char c = character[0];
  if (c == quote || c == '\\') {
    out.push_back('\\');
    out.push_back(c);
  } else if (c == '\n' || c == '\r' || c == '\t') {
    out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
  } else if (whole && (unicode::is_printable(code_point) || c == ' ')) {
    out += character;
  } else if (code_point < 0x100) {
    out += "\\x";
    append_hex(code_point, 2, out);
  } else {
    out += code_point < 0x10000 ? "\\u" : "\\U";
    append_hex(code_point, code_point < 0x10000 ? 4 : 8, out);
  }
}

void append_string_repr(const MarkedText& text, MarkedText& out) {
  std::string_view rest = text.bytes();
  const bool has_single = rest.find('\'') != rest.npos;
  const char quote = has_single && rest.find('"') == rest.npos ? '"' : '\'';
  out.append_own({&quote, 1});
  while (!rest.empty()) {
    const std::string_view character = rest.substr(0, char_bytes(rest));
    std::string shown;
    append_repr_char(character, quote, shown);
    out.append(shown, text.is_input(text.size() - rest.size()));
    rest.remove_prefix(character.size());
  }
  out.append_own({&quote, 1});
}

void append_text(const Value& value, bool repr, MarkedText& out);

void append_list(const List& list, MarkedText& out) {
  out.append_own(list.is_tuple ? "(" : "[");
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) out.append_own(", ");
    append_text(list.items[i], true, out);
  }
  if (list.is_tuple && list.items.size() == 1) out.append_own(",");
  out.append_own(list.is_tuple ? ")" : "]");
}

void append_dict(const Dict& dict, MarkedText& out) {
  out.append_own("{");
  const char* separator = "";
  for (const auto& [key, item] : dict.items) {
    out.append_own(separator);
    separator = ", ";
    append_text(key, true, out);
    out.append_own(": ");
    append_text(item, true, out);
  }
  out.append_own("}");
}

void append_text(const Value& value, bool repr, MarkedText& out) {
  switch (value.kind()) {
    case Kind::kUndefined:
      out.append_own(repr ? "Undefined" : "");
      break;
    case Kind::kNone:
      out.append_own("None");
      break;
    case Kind::kBool:
      out.append_own(value.truthy() ? "True" : "False");
      break;
    case Kind::kInt:
      out.append_own(std::to_string(value.as_int()));
      break;
    case Kind::kFloat:
      out.append_own(real_to_text(value.as_real()));
      break;
    case Kind::kString:
      if (!repr) {
        out.append(value.as_text());
        break;
      }
      if (value.is_safe()) out.append_own("Markup(");
      append_string_repr(value.as_text(), out);
      if (value.is_safe()) out.append_own(")");
      break;
    case Kind::kList:
      append_list(value.as_list(), out);
      break;
    case Kind::kDict:
      append_dict(value.as_dict(), out);
      break;
    case Kind::kNamespace:
      out.append_own("<Namespace>");
      break;
    case Kind::kLoop:
      out.append_own("<LoopContext " + std::to_string(value.as_loop().index0 + 1) + "/" +
                     std::to_string(value.as_loop().items->items.size()) + ">");
      break;
    case Kind::kFunction:
      out.append_own(value.as_function().macro != nullptr
                         ? "<Macro '" + std::string(value.as_function().name) + "'>"
                         : "<function " + std::string(value.as_function().name) + ">");
      break;
  }
}

}  // namespace

MarkedText to_text(const Value& value) {
  MarkedText out;
  append_text(value, false, out);
  return out;
}

MarkedText to_repr(const Value& value) {
  MarkedText out;
  append_text(value, true, out);
  return out;
}

}  // namespace lockstep::jinja
