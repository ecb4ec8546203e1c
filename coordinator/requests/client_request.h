// ClientRequest: a client's message that a node answers, and what its three kinds have in common.
// Values only; any thread.
#pragma once

#include <string>
#include <variant>

#include "wire/messages.h"

namespace lockstep {

using ClientRequest = std::variant<wire::Generate, wire::Tokenize, wire::Detokenize>;

const std::string& id_of(const ClientRequest& request);
const std::string& model_of(const ClientRequest& request);  // may be empty
void set_model_if_empty(ClientRequest& request, const std::string& model);

// The same request under another id, as a message to a node.
wire::Message with_id(ClientRequest request, const std::string& id);

// True if a client that sends `original` again could send `request`. Fields that the client leaves
// out both times are filled in in `original` only: the seed, max_tokens and the model. What the client has of
// the output (`emitted`) and `attempt` may differ.
bool is_same_request(ClientRequest request, const ClientRequest& original);

}  // namespace lockstep
