// Codec: wire messages to bytes and back. decode() is total: any bytes give a Message or an Error,
// in bounded time and memory (size, nesting depth and element counts are checked before a tree is
// built). Stateless; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/result.h"
#include "wire/messages.h"

namespace lockstep::wire {

inline constexpr size_t kMaxMessageBytes = 16u << 20;
inline constexpr int kMaxDepth = 64;
inline constexpr size_t kMaxValues = size_t{1} << 20;  // keys, items and maps of one message

std::string encode(const Message& message);
// The hot path: appends a tokens message without building a tree. Same bytes as encode().
void encode_tokens(const Tokens& tokens, std::string& out);

// kInvalidRequest naming the field, or kUnsupportedParameter for another major version (with the
// supported list). The Error's `param` is the field. `request_id_out` is set as soon as the
// message's request_id could be read, so that even a bad message can be answered.
Result<Message> decode(std::string_view bytes, std::string* request_id_out = nullptr);

// Bounds raw JSON before any tree is built of it: its nesting depth and its number of values.
Status check_json_depth(std::string_view text, int max_depth, size_t max_values = kMaxValues);

}  // namespace lockstep::wire
