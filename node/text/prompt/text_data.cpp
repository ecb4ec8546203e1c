#include "node/text/prompt/text_data.h"

#include <xxhash.h>

#include <bit>
#include <cstdint>
#include <limits>
#include <vector>

namespace lockstep {
namespace {

constexpr std::string_view kMagic = "LSTEXT2\n";

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  void number(uint32_t value) {
    for (int shift = 0; shift < 32; shift += 8) byte(value >> shift & 0xFF);
  }
  void id(int32_t value) { number(static_cast<uint32_t>(value)); }
  void byte(uint32_t value) { out_.push_back(static_cast<char>(value)); }
  void string(std::string_view value) {
    number(static_cast<uint32_t>(value.size()));
    out_ += value;
  }
  void strings(const std::vector<std::string>& values) {
    number(static_cast<uint32_t>(values.size()));
    for (const std::string& value : values) string(value);
  }
  void ids(const std::vector<int32_t>& values) {
    number(static_cast<uint32_t>(values.size()));
    for (const int32_t value : values) id(value);
  }
  void floats(const std::vector<float>& values) {
    number(static_cast<uint32_t>(values.size()));
    for (const float value : values) number(std::bit_cast<uint32_t>(value));
  }

 private:
  std::string& out_;
};

// Reads what Writer wrote. After the first value that is not there, all values are empty.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : left_(bytes) {}

  bool is_complete() const { return ok_ && left_.empty(); }

  std::string_view take(size_t n) {
    ok_ = ok_ && n <= left_.size();
    if (!ok_) return {};
    const std::string_view taken = left_.substr(0, n);
    left_.remove_prefix(n);
    return taken;
  }
  uint32_t number() {
    uint32_t value = 0;
    int shift = 0;
    for (const char c : take(sizeof(value))) {
      value |= uint32_t{static_cast<unsigned char>(c)} << shift;
      shift += 8;
    }
    return value;
  }
  int32_t id() { return static_cast<int32_t>(number()); }
  bool flag() {
    const std::string_view taken = take(1);
    ok_ = ok_ && static_cast<unsigned char>(taken.front()) <= 1;
    return ok_ && taken.front() == 1;
  }
  std::string string() { return std::string(take(number())); }
  // The number of items that follow, each of at least `n_bytes`.
  uint32_t count(size_t n_bytes) {
    const uint32_t n = number();
    ok_ = ok_ && n <= left_.size() / n_bytes;
    return ok_ ? n : 0;
  }
  std::vector<std::string> strings() {
    std::vector<std::string> out(count(sizeof(uint32_t)));
    for (std::string& value : out) value = string();
    return out;
  }
  std::vector<int32_t> ids() {
    std::vector<int32_t> out(count(sizeof(int32_t)));
    for (int32_t& value : out) value = id();
    return out;
  }
  std::vector<float> floats() {
    std::vector<float> out(count(sizeof(float)));
    for (float& value : out) value = std::bit_cast<float>(number());
    return out;
  }
  std::vector<TokenType> types(size_t n) {
    std::vector<TokenType> out;
    out.reserve(n);
    for (const char c : take(n)) {
      ok_ = ok_ && static_cast<unsigned char>(c) <= static_cast<unsigned>(TokenType::kByte);
      out.push_back(static_cast<TokenType>(c));
    }
    return out;
  }

 private:
  std::string_view left_;
  bool ok_ = true;
};

}  // namespace

std::string write_text_data(const TextData& data) {
  const TokenizerData& t = data.tokenizer;
  std::string bytes(kMagic);
  Writer out(bytes);
  out.string(t.model);
  out.string(t.pre);
  out.strings(t.tokens);
  for (const TokenType type : t.types) out.byte(static_cast<uint32_t>(type));
  out.strings(t.merges);
  out.floats(t.scores);
  for (const int32_t id : {t.bos_id, t.eos_id, t.unk_id, t.pad_id}) out.id(id);
  out.ids(t.extra_eog_ids);
  out.ids(t.rstrip_ids);
  for (const bool flag : {t.add_bos, t.add_space_prefix, t.remove_extra_whitespaces,
                          data.control_tokens_in_content}) {
    out.byte(flag ? 1 : 0);
  }
  out.string(t.chat_template);
  return bytes;
}

Result<TextData> read_text_data(std::string_view bytes) {
  Reader in(bytes);
  const bool is_known = in.take(kMagic.size()) == kMagic;
  TextData data;
  TokenizerData& t = data.tokenizer;
  t.model = in.string();
  t.pre = in.string();
  t.tokens = in.strings();
  t.types = in.types(t.tokens.size());
  t.merges = in.strings();
  t.scores = in.floats();
  for (int32_t* id : {&t.bos_id, &t.eos_id, &t.unk_id, &t.pad_id}) *id = in.id();
  t.extra_eog_ids = in.ids();
  t.rstrip_ids = in.ids();
  for (bool* flag : {&t.add_bos, &t.add_space_prefix, &t.remove_extra_whitespaces,
                     &data.control_tokens_in_content}) {
    *flag = in.flag();
  }
  t.chat_template = in.string();
  if (is_known && in.is_complete()) return data;
  return Error{ErrorCode::kInvalidRequest, "the data of a text model cannot be read", "data"};
}

std::string text_fingerprint(std::string_view bytes) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  std::string text;
  for (const unsigned char byte : canonical.digest) {
    for (const int shift : {4, 0}) text += "0123456789abcdef"[byte >> shift & 15];
  }
  return text;
}

}  // namespace lockstep
