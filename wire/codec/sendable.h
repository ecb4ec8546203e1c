// A sender's check that the reader can decode a message. It uses the same limits as decode() and
// the sockets, so that no message is sent that would be dropped, and no frame makes ZeroMQ close a
// connection. Stateless; any thread.
#pragma once

#include <cstddef>
#include <string>

#include "common/result.h"
#include "wire/messages.h"

namespace lockstep::wire {

struct EncodedSize {
  size_t n_bytes = 0;   // encode(message).size()
  size_t n_values = 0;  // counted as in scan_msgpack()
};
// Measures without writing; takes about as long as encode() without the copy.
EncodedSize encoded_size(const Message& message);
EncodedSize encoded_size(const Generate& message);
EncodedSize encoded_size(const Attach& message);
EncodedSize encoded_size(const Tokenize& message);
EncodedSize encoded_size(const Detokenize& message);
EncodedSize encoded_size(const TokensBatch& message);

// Returns kPayloadTooLarge with the numbers if the reader would refuse a message of that size.
Status check_sendable(const EncodedSize& size);
inline Status check_sendable(const Message& message) {
  return check_sendable(encoded_size(message));
}

// Encodes the message. If the reader could not decode it, encodes a kPayloadTooLarge error for the
// same request instead.
std::string encode_sendable(const Message& message);

// Returns the message's request_id, or an empty string if its type has none.
std::string request_id_of(const Message& message);

}  // namespace lockstep::wire
