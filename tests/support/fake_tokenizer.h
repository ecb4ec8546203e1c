// FakeTokenizer: a vocabulary that is small enough to read. Ids 0..255 are the bytes. From 256 on
// there are an end token, which is a control token, and a few words whose beginnings and ends
// overlap.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "node/text/jinja/chat_template.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep::testing {

class FakeTokenizer : public Tokenizer {
 public:
  static constexpr int32_t kEnd = 256;
  static constexpr int32_t kFirstWord = 257;

  FakeTokenizer() {
    for (int i = 0; i < 256; ++i) pieces_.push_back(std::string(1, static_cast<char>(i)));
    pieces_.push_back("<end>");  // kEnd
    for (const char* word : {"stop", "st", "op", "he", "llo", " END", "\xE4\xBD", "\xA0"}) {
      pieces_.push_back(word);
    }
  }

  std::vector<int32_t> encode(std::string_view text, bool, bool) const override {
    std::vector<int32_t> ids;
    for (char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  // Each byte is one token.
  int64_t least_tokens(std::string_view text) const override {
    return static_cast<int64_t>(text.size());
  }
  std::vector<int32_t> encode_chat(const MarkedText& text) const override {
    return encode(text.bytes(), true, false);
  }
  std::string_view token_bytes(int32_t id, bool special) const override {
    if (id == kEnd && !special) return "";
    return pieces_.at(static_cast<size_t>(id));
  }
  std::string decode(const std::vector<int32_t>& ids, bool special) const override {
    std::string text;
    for (int32_t id : ids) text += token_bytes(id, special);
    return text;
  }
  int32_t vocab_size() const override { return static_cast<int32_t>(pieces_.size()); }
  int32_t bos_id() const override { return -1; }
  int32_t eos_id() const override { return kEnd; }
  const std::vector<int32_t>& end_ids() const override { return end_ids_; }
  const std::string& chat_template() const override { return template_; }

 private:
  std::vector<std::string> pieces_;
  std::vector<int32_t> end_ids_{kEnd};
  std::string template_;
};

// Writes each message as "role:content\n".
inline Result<ChatTemplate> fake_chat_template() {
  return ChatTemplate::parse(
      "{% for m in messages %}{{ m.role + ':' + m.content }}{{ '\\n' }}{% endfor %}");
}

}  // namespace lockstep::testing
