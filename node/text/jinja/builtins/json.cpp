#include "node/text/jinja/builtins/json.h"

#include <algorithm>
#include <cmath>

#include "common/text/utf8.h"
#include "node/text/jinja/values/number_text.h"
#include "node/text/jinja/values/strings.h"

namespace lockstep::jinja {
namespace {

void append_escape(char32_t code_unit, std::string& out) {
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) {
    out.push_back("0123456789abcdef"[code_unit >> shift & 0xF]);
  }
}

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, MarkedText& out) : style_(style), out_(out) {}

  bool write(const Value& value, int level);

 private:
  bool list(const List& list, int level);
  bool dict(const Dict& dict, int level);
  bool key(const Value& key);
  void number(const Value& value);
  void string(const MarkedText& text);
  void append_character(char32_t code_point, std::string& out) const;
  void line(int level, bool first);

  const JsonStyle& style_;
  MarkedText& out_;
};

// Writes the separator before an item, or before the closing bracket (`level` is the container's
// own level then).
void JsonWriter::line(int level, bool first) {
  if (!first && style_.item_separator) {
    out_.append(*style_.item_separator);
  } else if (!first) {
    out_.append_own(style_.indent ? "," : ", ");
  }
  if (!style_.indent) return;
  out_.append_own("\n");
  for (int i = 0; i < level; ++i) out_.append(*style_.indent);
}

bool JsonWriter::write(const Value& value, int level) {
  switch (value.kind()) {
    case Kind::kNone:
      out_.append_own("null");
      return true;
    case Kind::kBool:
      out_.append_own(value.truthy() ? "true" : "false");
      return true;
    case Kind::kInt:
    case Kind::kFloat:
      number(value);
      return true;
    case Kind::kString:
      string(value.as_text());
      return true;
    case Kind::kList:
      return list(value.as_list(), level);
    case Kind::kDict:
      return dict(value.as_dict(), level);
    default:
      return false;
  }
}

bool JsonWriter::list(const List& list, int level) {
  out_.append_own("[");
  bool first = true;
  for (const Value& item : list.items) {
    line(level + 1, std::exchange(first, false));
    if (!write(item, level + 1)) return false;
  }
  if (!first && style_.indent) line(level, true);
  out_.append_own("]");
  return true;
}

bool JsonWriter::dict(const Dict& dict, int level) {
  std::vector<std::pair<Value, Value>> items = dict.items;
  if (style_.sort_keys) {
    bool comparable = true;
    std::stable_sort(items.begin(), items.end(), [&comparable](const auto& a, const auto& b) {
      const Order order = compare(a.first, b.first);
      comparable = comparable && order != Order::kNone;
      return order == Order::kLess;
    });
    if (!comparable) return false;
  }
  out_.append_own("{");
  bool first = true;
  for (const auto& [k, item] : items) {
    line(level + 1, std::exchange(first, false));
    if (!key(k)) return false;
    if (style_.key_separator) {
      out_.append(*style_.key_separator);
    } else {
      out_.append_own(": ");
    }
    if (!write(item, level + 1)) return false;
  }
  if (!first && style_.indent) line(level, true);
  out_.append_own("}");
  return true;
}

bool JsonWriter::key(const Value& key) {
  if (key.is_string()) {
    string(key.as_text());
    return true;
  }
  out_.append_own("\"");
  const bool written = write(key, 0);
  out_.append_own("\"");
  return written;
}

void JsonWriter::number(const Value& value) {
  if (value.is_integral()) return out_.append_own(std::to_string(value.as_int()));
  const double real = value.as_real();
  if (std::isnan(real)) return out_.append_own("NaN");
  if (std::isinf(real)) return out_.append_own(real < 0 ? "-Infinity" : "Infinity");
  out_.append_own(real_to_text(real));
}

void JsonWriter::append_character(char32_t code_point, std::string& out) const {
  static constexpr std::string_view kNames = "\"\\\n\r\t\f\b";
  static constexpr std::string_view kLetters = "\"\\nrtfb";
  const size_t simple =
      code_point < 0x80 ? kNames.find(static_cast<char>(code_point)) : kNames.npos;
  if (simple != kNames.npos) {
    out.push_back('\\');
    out.push_back(kLetters[simple]);
  } else if (code_point < 0x20 || (style_.ensure_ascii && code_point > 0x7E)) {
    if (code_point > 0xFFFF) {
      append_escape(0xD7C0 + (code_point >> 10), out);
      code_point = 0xDC00 + (code_point & 0x3FF);
    }
    append_escape(code_point, out);
  } else {
    utf8::append(code_point, out);
  }
}

void JsonWriter::string(const MarkedText& text) {
  out_.append_own("\"");
  std::string_view rest = text.bytes();
  while (!rest.empty()) {
    const utf8::Step step = utf8::next(rest);
    std::string shown;
    append_character(step.state == utf8::State::kChar ? step.code_point : 0xFFFD, shown);
    out_.append(shown, text.is_input(text.size() - rest.size()));
    rest.remove_prefix(step.n_bytes);
  }
  out_.append_own("\"");
}

}  // namespace

bool append_json(const Value& value, const JsonStyle& style, MarkedText& out) {
  return JsonWriter(style, out).write(value, 0);
}

}  // namespace lockstep::jinja
