// error_body: an Error as the JSON that OpenAI's clients read. Pure.
#pragma once

#include <string>

#include "common/result.h"

namespace lockstep {

// {"error": {message, type, param, code}}; bytes that are not UTF-8 are replaced.
std::string error_body(const Error& error);

}  // namespace lockstep
