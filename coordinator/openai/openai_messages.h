// parse_messages: parses the `messages` of a chat request: roles, and content as a string or a list
// of text parts. Pure; any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "common/result.h"
#include "wire/messages.h"

namespace lockstep {

// `value` is the field's value; nullptr when it is absent. Text parts are joined by newlines, as
// vLLM and llama-server do. Image, audio and file parts, tool calls and tool results are refused
// with kUnsupportedParameter, the Error's `param` being the part ("messages[0].content[1]").
Result<std::vector<wire::ChatMessage>> parse_messages(const nlohmann::json* value);

}  // namespace lockstep
