// Codec: encodes wire messages to bytes and decodes them; also the JSON form of a description.
// decode() is total: any bytes give a Message or an Error, in bounded time and memory. It reads the
// messages of every step without a tree (decode_ways.h). Stateless; any thread.
#pragma once

#include <string>
#include <string_view>

#include "common/result.h"
#include "wire/messages.h"

namespace lockstep::wire {

std::string encode(const Message& message);
// The same bytes, without a copy of what may be long.
std::string encode(const Generate& message);
std::string encode(const Attach& message);  // which is a Generate with more fields
std::string encode(const Tokenize& message);
std::string encode(const Detokenize& message);
std::string encode(const TokensBatch& message);
// The hot path: appends a tokens message without building a tree. The bytes equal those of
// encode().
void encode_tokens(const Tokens& tokens, std::string& out);

// Errors: kInvalidRequest naming the field, or kUnsupportedParameter with the supported versions
// for another version. The Error's `param` names the field. `request_id_out` is set whenever the
// message has a readable request_id, even if nothing else is readable, so that even a bad message
// can be answered.
Result<Message> decode(std::string_view bytes, std::string* request_id_out = nullptr);

// Returns the JSON that the admin ports show of a description: {"nodes":[{"endpoint", "model",
// "settings":{name: value}, "ranks":[{"rank", "settings"}]}]}.
std::string description_json(const Description& description);

}  // namespace lockstep::wire
