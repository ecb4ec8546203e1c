// Fields of OpenAI's and vLLM's requests that this version does not serve. Asking for one is an
// error that names it: ignoring it in silence would change what the answer means. Values that ask
// for nothing (null, false, an empty list, the default) pass. Pure; any thread.
#pragma once

#include <nlohmann/json.hpp>

#include "common/result.h"

namespace lockstep {

Status check_unsupported(const nlohmann::json& request);

}  // namespace lockstep
