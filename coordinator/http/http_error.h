// An Error as an HTTP response: status, OpenAI-shaped body and, where trying again helps,
// Retry-After. Pure.
#pragma once

#include "common/result.h"
#include "coordinator/http/http_message.h"

namespace lockstep {

HttpResponse error_response(const Error& error);

}  // namespace lockstep
