#include "node/text/jinja/chat_template.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "node/text/jinja/interpreter/interpreter.h"
#include "node/text/jinja/syntax/parser.h"

namespace lockstep {
namespace {

constexpr size_t kMaxSourceBytes = size_t{1} << 20;

// The roles that templates know. They do not count as text of a user, since templates build control
// tokens from them: '<|' ~ role.
constexpr std::array<std::string_view, 10> kKnownRoles = {
    "system", "developer", "user",    "assistant",   "tool",
    "model",  "function",  "ipython", "observation", "environment"};

jinja::Value own(const std::string& value) { return jinja::Value::own_string(value); }
jinja::Value input(const std::string& value) {
  return jinja::Value::string(MarkedText::from_request(value));
}
jinja::Value role_of(const ChatMessage& message) {
  const bool known =
      std::find(kKnownRoles.begin(), kKnownRoles.end(), message.role) != kKnownRoles.end();
  return known ? own(message.role) : input(message.role);
}

jinja::Value to_value(const std::vector<ChatMessage>& messages) {
  std::vector<jinja::Value> list;
  list.reserve(messages.size());
  for (const ChatMessage& message : messages) {
    std::vector<std::pair<jinja::Value, jinja::Value>> fields = {
        {own("role"), role_of(message)}, {own("content"), input(message.content)}};
    if (!message.name.empty()) fields.emplace_back(own("name"), input(message.name));
    list.push_back(jinja::Value::dict(std::move(fields)));
  }
  return jinja::Value::list(std::move(list));
}

}  // namespace

struct ChatTemplate::Impl {
  std::unique_ptr<const jinja::Template> source;
};

ChatTemplate::ChatTemplate(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::parse(std::string_view source) {
  if (source.size() > kMaxSourceBytes) {
    return Error{ErrorCode::kModelLoadFailed,
                 "chat template: " + std::to_string(source.size()) + " bytes, at most " +
                     std::to_string(kMaxSourceBytes) + " are read",
                 {}};
  }
  auto impl = std::make_unique<Impl>();
  TRY(impl->source, jinja::parse_template(source));
  return ChatTemplate(std::move(impl));
}

// Sets the names that Hugging Face's apply_chat_template gives to a template, except strftime_now:
// the same messages must give the same tokens on any day. Templates then use a fixed date.
Result<MarkedText> ChatTemplate::render(const ChatTemplateInput& input) const {
  jinja::Interpreter interpreter(*impl_->source);
  interpreter.set_global("messages", to_value(input.messages));
  interpreter.set_global("tools", jinja::Value::none());
  interpreter.set_global("documents", jinja::Value::none());
  interpreter.set_global("add_generation_prompt",
                         jinja::Value::boolean(input.add_generation_prompt));
  interpreter.set_global("bos_token", own(input.bos_token));
  interpreter.set_global("eos_token", own(input.eos_token));
  return interpreter.render();
}

}  // namespace lockstep
