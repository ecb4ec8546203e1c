// JSON bodies of HTTP requests: text to a tree, or an Error that says where it went wrong. Nesting
// depth and number of values are checked before a tree is built, so hostile bodies cost one linear
// scan; both limits are in wire/limits.h. Pure; any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "common/result.h"

namespace lockstep {

// A syntax error inside a top-level field (NaN, 1e400, a missing comma) names that field in
// `param`. A tree that there is no memory for is kPayloadTooLarge.
Result<nlohmann::json> parse_json_object(std::string_view body);

}  // namespace lockstep
