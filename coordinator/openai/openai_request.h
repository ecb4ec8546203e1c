// OpenAI request bodies to wire messages: /v1/chat/completions, /v1/completions, /tokenize and
// /detokenize. Knows field names, types and which fields this version refuses; knows no
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
  // One message per prompt, equal but for the prompt; request_id is the sender's to fill in. Choice
  // c of prompt p is `choices` entry p * n + c of the answer.
  std::vector<wire::Generate> prompts;
  bool stream = false;
  bool include_usage = false;  // of a stream

  const wire::Generate& common() const { return prompts.front(); }
};

// The Error's `param` is the field at fault. `model` is required; an unknown key is ignored.
Result<OpenAiRequest> parse_chat_request(std::string_view body);
Result<OpenAiRequest> parse_completion_request(std::string_view body);

// An absent `model` stays empty here: the one that is served.
Result<wire::Tokenize> parse_tokenize_request(std::string_view body);
Result<wire::Detokenize> parse_detokenize_request(std::string_view body);

}  // namespace lockstep
