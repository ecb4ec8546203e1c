// error_body: converts an Error to the JSON that OpenAI clients read. Pure.
#pragma once

#include <string>

#include "common/result.h"

namespace lockstep {

// Returns {"error": {message, type, param, code}}. Bytes that are not UTF-8 are replaced.
std::string error_body(const Error& error);

}  // namespace lockstep
