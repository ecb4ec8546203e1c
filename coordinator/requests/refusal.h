// Refusals: after which errors of its node a request is sent to another node, and which of several
// refusals the client receives. Pure.
#pragma once

#include <optional>

#include "common/result.h"

namespace lockstep {

// True for errors that are about the node's state rather than about the request.
bool is_node_state_error(ErrorCode code);
// True if the request is too long for the node's context or KV pool; those of another node may be
// longer.
bool is_length_error(ErrorCode code);

// Replaces `kept`, the refusal for the client, by that of the next node. The refusal of a full node
// stays, unless the next node is full too: a client that retries later can expect the full node to
// have room, which it cannot expect of a node that is draining or whose context is too short.
void keep_refusal(std::optional<Error>& kept, Error next);

}  // namespace lockstep
