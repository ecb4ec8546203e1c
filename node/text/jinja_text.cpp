#include "node/text/jinja_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "node/text/utf8.h"

namespace lockstep::jinja {
namespace {

void append_hex(char32_t value, int n_digits, std::string& out) {
  for (int shift = 4 * (n_digits - 1); shift >= 0; shift -= 4) {
    out.push_back("0123456789abcdef"[value >> shift & 0xF]);
  }
}

void append_repr_char(std::string_view character, char quote, std::string& out) {
  const utf8::Step step = utf8::next(character);
  const char c = character[0];
  if (c == quote || c == '\\') {
    out.push_back('\\');
    out.push_back(c);
  } else if (c == '\n' || c == '\r' || c == '\t') {
    out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
  } else if (step.state != utf8::State::kChar || step.code_point < 0x20 ||
             (step.code_point >= 0x7F && step.code_point <= 0xA0) || step.code_point == 0xAD) {
    out += "\\x";
    append_hex(step.state == utf8::State::kChar ? step.code_point : static_cast<uint8_t>(c), 2,
               out);
  } else {
    out += character;
  }
}

void append_string_repr(std::string_view text, std::string& out) {
  const bool has_single = text.find('\'') != text.npos;
  const char quote = has_single && text.find('"') == text.npos ? '"' : '\'';
  out.push_back(quote);
  while (!text.empty()) {
    const utf8::Step step = utf8::next(text);
    const size_t n = step.state == utf8::State::kChar ? step.n_bytes : 1;
    append_repr_char(text.substr(0, n), quote, out);
    text.remove_prefix(n);
  }
  out.push_back(quote);
}

void append_text(const Value& value, bool repr, std::string& out) {
  switch (value.kind()) {
    case Kind::kUndefined:
      out += repr ? "Undefined" : "";
      break;
    case Kind::kNone:
      out += "None";
      break;
    case Kind::kBool:
      out += value.truthy() ? "True" : "False";
      break;
    case Kind::kInt:
      out += std::to_string(value.as_int());
      break;
    case Kind::kFloat:
      out += real_to_text(value.as_real());
      break;
    case Kind::kString:
      if (repr) {
        append_string_repr(value.as_string(), out);
      } else {
        out += value.as_string();
      }
      break;
    case Kind::kList: {
      const List& list = value.as_list();
      out.push_back(list.is_tuple ? '(' : '[');
      for (size_t i = 0; i < list.items.size(); ++i) {
        if (i > 0) out += ", ";
        append_text(list.items[i], true, out);
      }
      if (list.is_tuple && list.items.size() == 1) out.push_back(',');
      out.push_back(list.is_tuple ? ')' : ']');
      break;
    }
    case Kind::kDict: {
      out.push_back('{');
      const char* separator = "";
      for (const auto& [key, item] : value.as_dict().items) {
        out += separator;
        separator = ", ";
        append_text(key, true, out);
        out += ": ";
        append_text(item, true, out);
      }
      out.push_back('}');
      break;
    }
    case Kind::kNamespace:
      out += "<Namespace>";
      break;
    case Kind::kLoop:
      out += "<LoopContext>";
      break;
    case Kind::kFunction:
      out += "<function " + std::string(value.as_function().name) + ">";
      break;
  }
}

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, std::string& out) : style_(style), out_(out) {}

  bool write(const Value& value, int level);

 private:
  void string(std::string_view text);
  void character(char32_t code_point);
  bool key(const Value& key);
  void line(int level, bool first);

  const JsonStyle& style_;
  std::string& out_;
};

// What stands before an item, or before the closing bracket when `level` is the container's own.
void JsonWriter::line(int level, bool first) {
  if (!first) out_ += style_.indent ? "," : ", ";
  if (!style_.indent) return;
  out_.push_back('\n');
  out_.append(static_cast<size_t>(level * std::clamp<int64_t>(*style_.indent, 0, 64)), ' ');
}

bool JsonWriter::write(const Value& value, int level) {
  switch (value.kind()) {
    case Kind::kNone:
      out_ += "null";
      return true;
    case Kind::kBool:
      out_ += value.truthy() ? "true" : "false";
      return true;
    case Kind::kInt:
    case Kind::kFloat:
      append_text(value, false, out_);
      return true;
    case Kind::kString:
      string(value.as_string());
      return true;
    case Kind::kList: {
      out_.push_back('[');
      bool first = true;
      for (const Value& item : value.as_list().items) {
        line(level + 1, std::exchange(first, false));
        if (!write(item, level + 1)) return false;
      }
      if (!first && style_.indent) line(level, true);
      out_.push_back(']');
      return true;
    }
    case Kind::kDict: {
      std::vector<std::pair<Value, Value>> items = value.as_dict().items;
      if (style_.sort_keys) {
        std::stable_sort(items.begin(), items.end(), [](const auto& a, const auto& b) {
          return compare(a.first, b.first) == Order::kLess;
        });
      }
      out_.push_back('{');
      bool first = true;
      for (const auto& [k, item] : items) {
        line(level + 1, std::exchange(first, false));
        if (!key(k)) return false;
        out_ += ": ";
        if (!write(item, level + 1)) return false;
      }
      if (!first && style_.indent) line(level, true);
      out_.push_back('}');
      return true;
    }
    default:
      return false;
  }
}

bool JsonWriter::key(const Value& key) {
  if (key.is_string()) {
    string(key.as_string());
    return true;
  }
  out_.push_back('"');
  const bool written = write(key, 0);
  out_.push_back('"');
  return written;
}

void JsonWriter::character(char32_t code_point) {
  static constexpr std::string_view kNames = "\"\\\n\r\t\f\b";
  static constexpr std::string_view kLetters = "\"\\nrtfb";
  const size_t simple =
      code_point < 0x80 ? kNames.find(static_cast<char>(code_point)) : kNames.npos;
  if (simple != kNames.npos) {
    out_.push_back('\\');
    out_.push_back(kLetters[simple]);
  } else if (code_point < 0x20 || (style_.ensure_ascii && code_point > 0x7E)) {
    if (code_point > 0xFFFF) {
      out_ += "\\u";
      append_hex(0xD7C0 + (code_point >> 10), 4, out_);
      code_point = 0xDC00 + (code_point & 0x3FF);
    }
    out_ += "\\u";
    append_hex(code_point, 4, out_);
  } else {
    utf8::append(code_point, out_);
  }
}

void JsonWriter::string(std::string_view text) {
  out_.push_back('"');
  while (!text.empty()) {
    const utf8::Step step = utf8::next(text);
    character(step.state == utf8::State::kChar ? step.code_point : 0xFFFD);
    text.remove_prefix(step.n_bytes);
  }
  out_.push_back('"');
}

}  // namespace

// Python's repr(): the shortest digits that read back the same, an exponent from 1e16 and 1e-5 on.
std::string real_to_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 32> buffer{};
  const double size = std::fabs(value);
  const bool plain = size == 0 || (size >= 1e-4 && size < 1e16);
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 plain ? std::chars_format::fixed : std::chars_format::scientific);
  std::string text(buffer.data(), end.ptr);
  if (plain && text.find('.') == text.npos) text += ".0";
  return text;
}

std::string to_text(const Value& value) {
  std::string out;
  append_text(value, false, out);
  return out;
}

std::string to_repr(const Value& value) {
  std::string out;
  append_text(value, true, out);
  return out;
}

bool append_json(const Value& value, const JsonStyle& style, std::string& out) {
  return JsonWriter(style, out).write(value, 0);
}

}  // namespace lockstep::jinja
