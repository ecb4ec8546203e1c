// Converts an Error to what HTTP clients read. Pure.
#pragma once

#include <string>

#include "common/result.h"
#include "common/service/http/http_message.h"

namespace lockstep {

// Returns OpenAI's {"error": {message, type, param, code}}. Bytes that are not UTF-8 are replaced.
std::string error_body(const Error& error);

// Returns the status and error_body(), and for errors that a retry may resolve a Retry-After
// header.
HttpResponse error_response(const Error& error);

}  // namespace lockstep
