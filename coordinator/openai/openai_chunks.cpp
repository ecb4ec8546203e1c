#include "coordinator/openai/openai_chunks.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "common/text/utf8.h"
#include "wire/codec/json_text.h"

namespace lockstep {
namespace {

using nlohmann::ordered_json;

template <class T>
void append_integer(T value, std::string& out) {
  char digits[std::numeric_limits<T>::digits10 + 2];
  out.append(digits, std::to_chars(std::begin(digits), std::end(digits), value).ptr);
}

bool is_escaped(char c) { return static_cast<uint8_t>(c) < 0x20 || c == '"' || c == '\\'; }

void append_escaped(char c, std::string& out) {
  constexpr std::string_view kNamed = "\"\\\b\f\n\r\t", kNames = "\"\\bfnrt";
  constexpr char kHex[] = "0123456789abcdef";
  out += '\\';
  const size_t i = kNamed.find(c);
  if (i != kNamed.npos)
    out += kNames[i];
  else
    out += {'u', '0', '0', kHex[static_cast<uint8_t>(c) >> 4], kHex[c & 15]};
}

}  // namespace

void append_json_string(std::string_view text, std::string& out) {
  const bool is_ascii = std::ranges::all_of(text, [](char c) { return (c & 0x80) == 0; });
  if (!is_ascii && !utf8::is_valid(text)) {
    out += json_text(text);
    return;
  }
  out += '"';
  while (!text.empty()) {
    const auto special = std::ranges::find_if(text, is_escaped);
    out.append(text.begin(), special);
    if (special == text.end()) break;
    append_escaped(*special, out);
    text.remove_prefix(static_cast<size_t>(special - text.begin()) + 1);
  }
  out += '"';
}

ChunkWriter::ChunkWriter(const ordered_json& envelope, bool is_chat, bool has_usage)
    : is_chat_(is_chat),
      head_(json_text(envelope)),
      tail_(has_usage ? "}],\"usage\":null}" : "}]}") {
  head_.pop_back();  // the brace that ends the envelope
  head_ += R"(,"choices":[{"index":)";
}

std::string ChunkWriter::begin(size_t index, std::string_view text) const {
  std::string out;
  out.reserve(head_.size() + text.size() + 128);
  out += head_;
  append_integer(index, out);
  if (!is_chat_) {
    out += R"(,"text":)";
    append_json_string(text, out);
  } else if (text.empty()) {
    out += R"(,"delta":{})";
  } else {
    out += R"(,"delta":{"content":)";
    append_json_string(text, out);
    out += '}';
  }
  return out;
}

void ChunkWriter::member(std::string_view name, std::string_view json, std::string& out) {
  out += ",\"";
  out += name;
  out += "\":";
  out += json;
}

void ChunkWriter::member(std::string_view name, std::span<const int32_t> ids, std::string& out) {
  member(name, "[", out);
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i > 0) out += ',';
    append_integer(ids[i], out);
  }
  out += ']';
}

std::string ChunkWriter::end(std::string chunk) const {
  chunk += tail_;
  return chunk;
}

}  // namespace lockstep
