// ChatTemplate: the model's own Jinja template, run in a small sandboxed interpreter: no I/O, a
// bound on steps and output. Immutable after parsing; any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "node/text/marked_text.h"

namespace lockstep {

struct ChatMessage {
  std::string role;
  std::string content;
  std::string name;  // optional
};

struct ChatTemplateInput {
  std::vector<ChatMessage> messages;
  std::string bos_token, eos_token;
  bool add_generation_prompt = true;
};

class ChatTemplate {
 public:
  // kModelLoadFailed with line and column for syntax, filters, tests and functions that this
  // interpreter does not know.
  static Result<ChatTemplate> parse(std::string_view source);
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // What comes from the messages is marked as input. kInvalidRequest when the template itself
  // raises (raise_exception) or runs past its bounds.
  Result<MarkedText> render(const ChatTemplateInput& input) const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace lockstep
