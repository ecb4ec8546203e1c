// TextModel: turns the prompts of one model into token ids, with its tokenizer and its chat
// template. Nodes and coordinators both encode with this class, so that they give the same ids.
// Immutable; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "node/text/jinja/chat_template.h"
#include "node/text/prompt/text_limit.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep {

// A prompt as a client writes it: a chat if `messages` is set, otherwise a text.
struct PromptText {
  std::string_view text = {};
  std::optional<std::vector<ChatMessage>> messages = std::nullopt;
  bool add_special_tokens = true;  // of a text: the tokens that the tokenizer adds
};

// The prompt of a message with these fields. Message: a struct with role, content and name. The
// text must outlive the result.
template <class Message>
PromptText prompt_text(const std::optional<std::string>& text,
                       const std::optional<std::vector<Message>>& messages,
                       bool add_special_tokens) {
  PromptText out{.add_special_tokens = add_special_tokens};
  if (text) out.text = *text;
  if (!messages) return out;
  out.messages.emplace().reserve(messages->size());
  for (const Message& m : *messages) out.messages->push_back({m.role, m.content, m.name});
  return out;
}

class TextModel {
 public:
  // `chat_template`: the Error is the answer to every chat. `control_tokens_in_content`: control
  // tokens that a chat's messages spell out count as such.
  TextModel(std::unique_ptr<const Tokenizer> tokenizer, Result<ChatTemplate> chat_template,
            bool control_tokens_in_content);

  // Special tokens that a text spells count as such, as in vLLM and llama-server. Of a chat, only
  // the template makes control tokens, unless control_tokens_in_content is set. Errors: the prompt
  // has more tokens than the limit even if each is the longest of the vocabulary; the chat has no
  // messages; the model has no usable template, or the template raises. `param` of the Error is
  // "prompt" or "messages".
  Result<std::vector<int32_t>> encode(const PromptText& prompt, const TextLimit& limit = {}) const;
  // The part of encode()'s checks of a text that reads its length only.
  Status check_length(std::string_view text, const TextLimit& limit) const;

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  // Null if the model has no usable template.
  const ChatTemplate* chat_template() const { return chat_template_ ? &*chat_template_ : nullptr; }
  bool control_tokens_in_content() const { return control_tokens_in_content_; }

 private:
  Result<std::vector<int32_t>> encode_chat(const std::vector<ChatMessage>& messages,
                                           const TextLimit& limit) const;
  std::string token_text(int32_t id) const;

  const std::unique_ptr<const Tokenizer> tokenizer_;
  const Result<ChatTemplate> chat_template_;
  const bool control_tokens_in_content_;
};

// Estimate in bytes of the text that a template writes around a message.
inline constexpr size_t kTemplateBytesPerMessage = 32;

// Returns the bytes of text that TextModel::encode has to read, markup between messages included.
template <class Message>
size_t prompt_text_bytes(const std::optional<std::string>& text,
                         const std::optional<std::vector<Message>>& messages) {
  size_t n = text ? text->size() : 0;
  if (!messages) return n;
  for (const Message& m : *messages)
    n += m.role.size() + m.name.size() + m.content.size() + kTemplateBytesPerMessage;
  return n;
}

}  // namespace lockstep
