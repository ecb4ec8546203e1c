// ClientRequest: a client's message that a node answers, and what its three kinds have in common.
// Values only; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "wire/messages.h"

namespace lockstep {

using ClientRequest = std::variant<wire::Generate, wire::Tokenize, wire::Detokenize>;

const std::string& id_of(const ClientRequest& request);
const std::string& model_of(const ClientRequest& request);  // may be empty
void set_model_if_empty(ClientRequest& request, const std::string& model);

// The fields of a message to a node that differ from those of the client's request. All but the id
// are of a generation.
struct AttemptFields {
  std::string request_id;
  uint32_t attempt = 0;
  std::vector<wire::EmittedChoice> emitted = {};
  std::optional<int64_t> deadline_ms = std::nullopt;
  // The prompt of the message, for a request that has none itself; null = the request has one.
  std::vector<int32_t>* prompt_ids = nullptr;
};
// The bytes of the request with these fields, as a message to a node. The request is as before
// afterwards, and so are prompt_ids; the prompt, which may be long, is not copied.
std::string encode_attempt(ClientRequest& request, AttemptFields fields);

// True if a client that sends `original` again could send `request`. Fields that the client leaves
// out both times are filled in in `original` only: the seed, max_tokens and the model. What the
// client has of the output (`emitted`) and `attempt` may differ.
bool is_same_request(ClientRequest request, const ClientRequest& original);

}  // namespace lockstep
