// Whether the reader of a message can read it, asked by its sender: the same numbers as decode()
// and the sockets go by, so that nothing is sent that would be dropped, and no frame costs a
// connection. Stateless; any thread.
#pragma once

#include <cstddef>
#include <string>

#include "common/result.h"
#include "wire/messages.h"

namespace lockstep::wire {

struct EncodedSize {
  size_t n_bytes = 0;   // encode(message).size()
  size_t n_values = 0;  // as scan_msgpack() counts them
};
// Writes nothing; costs about as much as encode() without the copy.
EncodedSize encoded_size(const Message& message);
EncodedSize encoded_size(const Generate& message);
EncodedSize encoded_size(const Tokenize& message);
EncodedSize encoded_size(const Detokenize& message);

// kPayloadTooLarge naming the numbers if the reader would refuse a message of that size.
Status check_sendable(const EncodedSize& size);
inline Status check_sendable(const Message& message) {
  return check_sendable(encoded_size(message));
}

// The message's bytes; or, if its reader could not read them, those of the error that says so to
// the same request.
std::string encode_sendable(const Message& message);

// The request_id of a message that has one, else an empty one.
std::string request_id_of(const Message& message);

}  // namespace lockstep::wire
