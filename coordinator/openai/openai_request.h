// Converts OpenAI request bodies to wire messages: /v1/chat/completions, /v1/completions, /tokenize
// and /detokenize. Knows field names, types and the fields that this version refuses; knows no
// sockets, models or nodes. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "wire/messages.h"

namespace lockstep {

enum class OpenAiEndpoint { kChatCompletions, kCompletions };

struct OpenAiRequest {
  OpenAiEndpoint endpoint = OpenAiEndpoint::kChatCompletions;
  // One message per prompt; the messages differ only in the prompt. The sender sets request_id to
  // prompt_id(). Choice c of prompt p is entry p * n + c of `choices` in the response.
  std::vector<wire::Generate> prompts;
  bool stream = false;
  bool include_usage = false;  // a stream ends with a usage chunk

  const wire::Generate& common() const { return prompts.front(); }
};

// Within one HTTP request, the request_id of a prompt is its index.
std::string prompt_id(size_t index);
size_t prompt_index(const std::string& request_id);

// The Error's `param` names the field at fault. `model` is required; unknown keys are ignored.
Result<OpenAiRequest> parse_chat_request(std::string_view body);
Result<OpenAiRequest> parse_completion_request(std::string_view body);

// An absent `model` becomes the empty string, which means the first model that is served.
Result<wire::Tokenize> parse_tokenize_request(std::string_view body);
Result<wire::Detokenize> parse_detokenize_request(std::string_view body);

}  // namespace lockstep
