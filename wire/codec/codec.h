// Codec: wire messages to bytes and back. decode() is total: any bytes give a Message or an Error,
// in bounded time and memory (size, nesting depth and element counts are checked before a tree is
// built). Stateless; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/result.h"
#include "wire/limits.h"
#include "wire/messages.h"

namespace lockstep::wire {

std::string encode(const Message& message);
// The hot path: appends a tokens message without building a tree. Same bytes as encode().
void encode_tokens(const Tokens& tokens, std::string& out);

// kInvalidRequest naming the field, or kUnsupportedParameter for another major version (with the
// supported list). The Error's `param` is the field. `request_id_out` is set whenever the message
// has a request_id that can be read, also where nothing else can, so that even a bad message can be
// answered.
Result<Message> decode(std::string_view bytes, std::string* request_id_out = nullptr);

// Bounds raw JSON before any tree is built of it: its nesting depth and its number of values,
// counted as those of a message are (limits.h).
Status check_json_depth(std::string_view text, int max_depth, size_t max_values = kMaxJsonValues);

}  // namespace lockstep::wire
