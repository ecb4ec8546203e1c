#include "coordinator/openai/openai_messages.h"

#include <optional>
#include <string>

#include "common/log.h"
#include "coordinator/http/json_fields.h"

namespace lockstep {
namespace {

using nlohmann::json;

Error invalid(const std::string& param, const std::string& problem) {
  return Error{ErrorCode::kInvalidRequest, param + " " + problem, param};
}

Error unsupported(const std::string& param, const std::string& what) {
  return Error{ErrorCode::kUnsupportedParameter, what + " (" + param + ") is not supported", param};
}

const json* find(const json& object, const char* name) {
  const auto it = object.find(name);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

Result<std::string> parse_role(const json& message, const std::string& where) {
  const std::string param = where + ".role";
  const json* value = find(message, "role");
  if (value == nullptr) return invalid(param, "is required");
  if (!value->is_string()) return invalid(param, "must be a string, got " + describe(*value));
  const auto role = value->get<std::string>();
  if (role == "developer") return std::string("system");  // OpenAI's newer name of "system"
  if (role == "system" || role == "user" || role == "assistant") return role;
  if (role == "tool" || role == "function") return unsupported(param, "the role '" + role + "'");
  return invalid(param, "must be system, developer, user or assistant, got " + describe(*value));
}

// An assistant's earlier message may have a refusal part; other roles have text parts only.
Result<std::string> parse_part(const json& part, bool is_assistant, const std::string& where) {
  if (!part.is_object()) return invalid(where, "must be an object, got " + describe(part));
  const json* type = find(part, "type");
  if (type == nullptr || !type->is_string())
    return invalid(where + ".type", "is required and must be a string");
  const bool is_refusal = is_assistant && *type == "refusal";
  if (!is_refusal && *type != "text")
    return unsupported(where, "a content part of type " + describe(*type));
  const char* const name = is_refusal ? "refusal" : "text";
  const json* text = find(part, name);
  if (text == nullptr || !text->is_string())
    return invalid(where + "." + name, "is required and must be a string");
  return text->get<std::string>();
}

// For an assistant message without content: returns its refusal if it has one, else an empty text.
Result<std::string> parse_refusal(const json& message, const std::string& where) {
  const json* value = find(message, "refusal");
  if (value == nullptr) return std::string();
  if (!value->is_string())
    return invalid(where + ".refusal", "must be a string, got " + describe(*value));
  return value->get<std::string>();
}

Result<std::string> parse_content(const json& message, bool is_assistant,
                                  const std::string& where) {
  const std::string param = where + ".content";
  const json* value = find(message, "content");
  if (value == nullptr && is_assistant) return parse_refusal(message, where);
  if (value == nullptr) return invalid(param, "is required");
  if (value->is_string()) return value->get<std::string>();
  if (!value->is_array())
    return invalid(param, "must be a string or a list of parts, got " + describe(*value));
  if (value->empty() && is_assistant) return parse_refusal(message, where);
  if (value->empty()) return invalid(param, "must hold at least one part, got 0");
  std::string text;
  for (size_t i = 0; i < value->size(); ++i) {
    TRY(const std::string piece, parse_part((*value)[i], is_assistant, str(param, "[", i, "]")));
    if (i > 0) text += '\n';
    text += piece;
  }
  return text;
}

Result<wire::ChatMessage> parse_message(const json& value, const std::string& where) {
  if (!value.is_object()) return invalid(where, "must be an object, got " + describe(value));
  for (const char* name : {"tool_calls", "function_call", "audio"}) {
    if (const json* field = find(value, name); field != nullptr && !field->empty())
      return unsupported(where + "." + name, name);
  }
  wire::ChatMessage message;
  TRY(message.role, parse_role(value, where));
  TRY(message.content, parse_content(value, message.role == "assistant", where));
  if (const json* name = find(value, "name")) {
    if (!name->is_string())
      return invalid(where + ".name", "must be a string, got " + describe(*name));
    message.name = name->get<std::string>();
  }
  return message;
}

}  // namespace

Result<std::vector<wire::ChatMessage>> parse_messages(const json* value) {
  if (value == nullptr) return invalid("messages", "is required");
  if (!value->is_array())
    return invalid("messages", "must be a list of messages, got " + describe(*value));
  if (value->empty()) return invalid("messages", "must hold at least one message, got 0");
  std::vector<wire::ChatMessage> messages;
  messages.reserve(value->size());
  for (size_t i = 0; i < value->size(); ++i) {
    TRY(wire::ChatMessage message, parse_message((*value)[i], str("messages[", i, "]")));
    messages.push_back(std::move(message));
  }
  return messages;
}

}  // namespace lockstep
