#include "node/text/prompt/text_model.h"

#include <utility>

namespace lockstep {
TextModel::TextModel(std::unique_ptr<const Tokenizer> tokenizer, Result<ChatTemplate> chat_template,
                     bool control_tokens_in_content)
    : tokenizer_(std::move(tokenizer)),
      chat_template_(std::move(chat_template)),
      control_tokens_in_content_(control_tokens_in_content) {}

Result<std::vector<int32_t>> TextModel::encode(const PromptText& prompt,
                                               const TextLimit& limit) const {
  if (prompt.messages) return encode_chat(*prompt.messages, limit);
  TRY([[maybe_unused]] const Ok fits, check_length(prompt.text, limit));
  return tokenizer_->encode(prompt.text, true, prompt.add_special_tokens);
}

Status TextModel::check_length(std::string_view text, const TextLimit& limit) const {
  return check_text_length(text, *tokenizer_, limit, "prompt");
}

std::string TextModel::token_text(int32_t id) const {
  return id < 0 ? std::string() : std::string(tokenizer_->token_bytes(id, true));
}

Result<std::vector<int32_t>> TextModel::encode_chat(const std::vector<ChatMessage>& messages,
                                                    const TextLimit& limit) const {
  if (messages.empty()) {
    return Error{ErrorCode::kInvalidRequest, "messages must not be empty", "messages"};
  }
  if (!chat_template_) return chat_template_.error();
  ChatTemplateInput input;
  input.messages = messages;
  input.bos_token = token_text(tokenizer_->bos_id());
  input.eos_token = token_text(tokenizer_->eos_id());
  TRY(const MarkedText text, chat_template_->render(input));
  TRY([[maybe_unused]] const Ok fits,
      check_text_length(text.bytes(), *tokenizer_, limit, "messages"));
  // The template's text already contains the special tokens, the leading one included.
  if (control_tokens_in_content_) return tokenizer_->encode(text.bytes(), true, false);
  return tokenizer_->encode_chat(text);
}

}  // namespace lockstep
