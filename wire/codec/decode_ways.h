// The two ways in which decode() reads a message. Both are total; any thread.
//
// The direct way reads `tokens` and `tokens_batch`, the messages that come with every step, without
// building a tree. It takes exactly what encode() writes: the fields in the order of
// wire/codec/fields.h, without unknown fields. It gives everything else up to the tree, which alone
// reports errors. For a message that both ways read, they give the same result.
#pragma once

#include <optional>
#include <string_view>

#include "common/result.h"
#include "wire/messages.h"

namespace lockstep::wire {

// Returns nothing if the bytes are another message, are not as encode() writes them, or are so many
// that their values would have to be counted (kMaxValues). May throw std::bad_alloc.
std::optional<Message> decode_directly(std::string_view bytes);

// Reads every message. Errors: as decode().
Result<Message> decode_by_tree(std::string_view bytes);

}  // namespace lockstep::wire
