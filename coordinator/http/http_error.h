// error_response: converts an Error to an HTTP response: status, OpenAI-shaped body and, for errors
// that a retry may resolve, a Retry-After header. Pure.
#pragma once

#include "common/result.h"
#include "coordinator/http/http_message.h"

namespace lockstep {

HttpResponse error_response(const Error& error);

}  // namespace lockstep
