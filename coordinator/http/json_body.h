// parse_json_object: parses the JSON body of an HTTP request into a tree, or returns an Error that
// names the place of the fault. Nesting depth and number of values are checked before the tree is
// built, so a hostile body costs one linear scan. Both limits are in wire/limits.h. Pure; any
// thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "common/result.h"

namespace lockstep {

// For a syntax error inside a top-level field (NaN, 1e400, a missing comma), `param` names the
// field. If memory for the tree cannot be allocated, the error is kPayloadTooLarge.
Result<nlohmann::json> parse_json_object(std::string_view body);

}  // namespace lockstep
