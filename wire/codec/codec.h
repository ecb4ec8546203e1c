// Codec: encodes wire messages to bytes and decodes them. decode() is total: any bytes give a
// Message or an Error, in bounded time and memory, because size, nesting depth and element counts
// are checked before a tree is built. Stateless; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/result.h"
#include "wire/limits.h"
#include "wire/messages.h"

namespace lockstep::wire {

std::string encode(const Message& message);
// The hot path: appends a tokens message without building a tree. The bytes equal those of
// encode().
void encode_tokens(const Tokens& tokens, std::string& out);

// Errors: kInvalidRequest naming the field, or kUnsupportedParameter with the supported versions
// for another version. The Error's `param` names the field. `request_id_out` is set whenever the
// message has a readable request_id, even if nothing else is readable, so that even a bad message
// can be answered.
Result<Message> decode(std::string_view bytes, std::string* request_id_out = nullptr);

// Checks the nesting depth and the number of values of a JSON text before a tree is built. Values
// are counted as in a message (limits.h).
Status check_json_depth(std::string_view text, int max_depth, size_t max_values = kMaxJsonValues);

}  // namespace lockstep::wire
