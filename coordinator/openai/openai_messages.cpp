#include "coordinator/openai/openai_messages.h"

#include <string>

#include "common/log.h"
#include "wire/codec/field_reader.h"

namespace lockstep {
namespace {

using nlohmann::json;
using wire::FieldReader;
using wire::shown;

Error invalid(const std::string& param, const std::string& problem) {
  return Error{ErrorCode::kInvalidRequest, param + " " + problem, param};
}

Error unsupported(const std::string& param, const std::string& what) {
  return Error{ErrorCode::kUnsupportedParameter, what + " (" + param + ") is not supported", param};
}

Result<std::string> parse_role(FieldReader& message, const std::string& where) {
  const std::string param = where + ".role";
  std::string role;
  message.required("role", role);
  if (Status status = message.status(); !status) return status.error();
  if (role == "developer") return std::string("system");  // OpenAI's newer name of "system"
  if (role == "system" || role == "user" || role == "assistant") return role;
  if (role == "tool" || role == "function") return unsupported(param, "the role '" + role + "'");
  return invalid(param, "must be system, developer, user or assistant, got " + shown(role));
}

// An assistant's earlier message may have a refusal part; other roles have text parts only.
Result<std::string> parse_part(const json& value, bool is_assistant, const std::string& where) {
  if (!value.is_object()) return invalid(where, "must be an object, got " + shown(value));
  const FieldReader part(value, FieldReader::Format::kJson, where);
  const json* type = part.find("type");
  if (type == nullptr || !type->is_string())
    return invalid(where + ".type", "is required and must be a string");
  const bool is_refusal = is_assistant && *type == "refusal";
  if (!is_refusal && *type != "text")
    return unsupported(where, "a content part of type " + shown(*type));
  const char* const name = is_refusal ? "refusal" : "text";
  const json* text = part.find(name);
  if (text == nullptr || !text->is_string())
    return invalid(where + "." + name, "is required and must be a string");
  return text->get<std::string>();
}

// For an assistant message without content: returns its refusal if it has one, else an empty text.
Result<std::string> parse_refusal(FieldReader& message) {
  std::string refusal;
  message.field("refusal", refusal);
  if (Status status = message.status(); !status) return status.error();
  return refusal;
}

Result<std::string> parse_content(FieldReader& message, bool is_assistant,
                                  const std::string& where) {
  const std::string param = where + ".content";
  const json* value = message.find("content");
  if (value == nullptr && is_assistant) return parse_refusal(message);
  if (value == nullptr) return invalid(param, "is required");
  if (value->is_string()) return value->get<std::string>();
  if (!value->is_array())
    return invalid(param, "must be a string or a list of parts, got " + shown(*value));
  if (value->empty() && is_assistant) return parse_refusal(message);
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
  if (!value.is_object()) return invalid(where, "must be an object, got " + shown(value));
  FieldReader fields(value, FieldReader::Format::kJson, where);
  for (const char* name : {"tool_calls", "function_call", "audio"}) {
    if (const json* field = fields.find(name); field != nullptr && !field->empty())
      return unsupported(where + "." + name, name);
  }
  wire::ChatMessage message;
  TRY(message.role, parse_role(fields, where));
  TRY(message.content, parse_content(fields, message.role == "assistant", where));
  fields.field("name", message.name);
  if (Status status = fields.status(); !status) return status.error();
  return message;
}

}  // namespace

Result<std::vector<wire::ChatMessage>> parse_messages(const json* value) {
  if (value == nullptr) return invalid("messages", "is required");
  if (!value->is_array())
    return invalid("messages", "must be a list of messages, got " + shown(*value));
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
