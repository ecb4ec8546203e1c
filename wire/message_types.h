// The `type` strings of the wire protocol, in the order of the Message variant.
#pragma once

#include <array>
#include <variant>

#include "wire/messages.h"

namespace lockstep::wire {

inline constexpr std::array<const char*, std::variant_size_v<Message>> kTypeNames = {
    "generate", "accepted",  "tokens",         "tokens_batch",   "done",
    "error",    "cancel",    "status",         "list_models",    "models",
    "tokenize", "tokenized", "detokenize",     "detokenized",    "hello",
    "welcome",  "heartbeat", "cluster_status", "clear_kv_cache", "kv_cache_cleared",
    "slots",    "slot_list", "describe",       "description"};

}  // namespace lockstep::wire
