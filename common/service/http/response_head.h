// response_head: the status line and the headers of a response, as they go to the client. Pure.
#pragma once

#include <string>

#include "common/service/http/http_message.h"

namespace lockstep {

// How the client finds the end of the body.
enum class BodyEnd { kContentLength, kChunked, kConnectionClosed };

struct ResponseForm {
  bool is_http_11 = true;
  bool keep_alive = true;
  BodyEnd body_end = BodyEnd::kContentLength;  // kContentLength: that of response.body
};

std::string response_head(const HttpResponse& response, const ResponseForm& form);

// The line before a chunk of `n_bytes` bytes, which kChunkEnd follows. kLastChunk ends the body. A
// chunk, in this file, is one of HTTP's chunked transfer coding.
std::string chunk_begin(size_t n_bytes);
inline constexpr const char* kChunkEnd = "\r\n";
inline constexpr const char* kLastChunk = "0\r\n\r\n";

}  // namespace lockstep
