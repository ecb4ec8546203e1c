// check_unsupported: refuses fields of OpenAI's and vLLM's requests that this version does not
// serve. The error names the field, because ignoring the field silently would change the meaning of
// the response. Values that request nothing (null, false, an empty list, the default) are accepted.
// Pure; any thread.
#pragma once

#include <nlohmann/json.hpp>

#include "common/result.h"

namespace lockstep {

Status check_unsupported(const nlohmann::json& request);

}  // namespace lockstep
