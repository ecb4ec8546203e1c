// ChatTemplate: the model's own Jinja template, run by a small sandboxed interpreter without I/O
// and with a bound on steps and output. Immutable after parsing; any thread.
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
  // Error: kModelLoadFailed, with line and column, for syntax, filters, tests and functions that
  // this interpreter does not know.
  static Result<ChatTemplate> parse(std::string_view source);
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // Renders the template; text from the messages is marked as input. Error: kInvalidRequest if the
  // template raises (raise_exception) or exceeds its bounds.
  Result<MarkedText> render(const ChatTemplateInput& input) const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace lockstep
